"""Tuning: every method gets the same trials, short ones, judged on valid; its best settings are used at full length.

Optimiser and rates are drawn. Epochs are not: all methods see as many faces, and a trial that saw fewer than its rivals
would lose by that alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.comparison.jobs import Arena, Job
from benchmarks.comparison.methods import Method
from benchmarks.comparison.report import mean_score
from benchmarks.comparison.runs import Line

KINDS = ("muon", "adamw")
RATES = {"optim.muon_rate": (0.005, 0.05), "optim.adamw_rate": (0.0005, 0.008)}  # drawn log-uniformly
SEED = 1


@dataclass(frozen=True)
class Settings:
    """What one trial tries."""

    number: int  # 0: the params file as it is
    changes: Mapping[str, Any]


AS_IT_IS = Settings(0, {})


def settings(trials: int) -> list[Settings]:
    """The same for every method: first what the params file says, then draws from the space."""
    return [AS_IT_IS, *(_draw(number) for number in range(1, trials))][:trials]


def _draw(number: int) -> Settings:
    generator = np.random.Generator(np.random.Philox(key=[SEED, number]))
    changes: dict[str, Any] = {"optim.kind": str(generator.choice(KINDS))}
    for place, (low, high) in RATES.items():
        changes[place] = float(f"{np.exp(generator.uniform(np.log(low), np.log(high))):.2g}")
    return Settings(number, changes)


def trials(arena: Arena, methods: Sequence[Method], tried: Sequence[Settings], epochs: int) -> list[Job]:
    """The jobs of a tuning whose trials take so many epochs: always judged on valid."""
    valid = replace(arena, split="valid")
    return [valid.job(method, SEED, epochs, one.changes, one.number) for one in tried for method in methods]


def best(tried: Sequence[Settings], jobs: Sequence[Job], found: Sequence[Line]) -> dict[str, Settings]:
    """Each method's settings of the highest mean accuracy in the dark; ties go to the lower number.

    A trial that diverged has no line and wins nothing; where all did, the params file stands.
    """
    lines = {line["digest"]: line for line in found}
    chosen: dict[str, tuple[float, Settings]] = {}
    for job in sorted(jobs, key=lambda job: job.trial or 0):
        line = lines.get(job.digest)
        value = mean_score([line], "accuracy")["mean dark"] if line else -1.0
        if job.method.name not in chosen or value > chosen[job.method.name][0]:
            chosen[job.method.name] = value, tried[job.trial or 0]
    return {name: one for name, (_, one) in chosen.items()}
