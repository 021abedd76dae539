"""The winner of a sweep: the best mean over new seeds, and the defaults where nothing is told apart from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.records import DataError
from components.stages.sweep import Job, Params
from flows.sweep.journal import Training

ALPHA = 0.05  # one-sided: the chance to call some trial better than the defaults where all are alike


def ranked(trials: Sequence[Training]) -> list[Training]:
    """Of the trials that went furthest, the best first; of equals the first drawn. Raises DataError where none is left.

    Where the budget ended before any trial did, those that had most epochs are what there is to compare.
    """
    left = [one for one in trials if one.accuracy is not None and one.status != "failed"]
    if not left:
        first = next((one.error for one in trials if one.error), "the budget was spent before an epoch was")
        raise DataError(f"every trial of the sweep failed; the first: {first}")
    furthest = max(one.epochs for one in left)
    level = [one for one in left if one.epochs == furthest]
    return sorted(level, key=lambda one: (-float(one.accuracy or 0.0), one.job.trial))


def confirmations(params: Params, trials: Sequence[Training]) -> list[Job]:
    """The best trials and the defaults, each with every new seed, in full."""
    confirm = params.sweep.confirm
    if not confirm.best:
        return []
    chosen = ranked(trials)[: confirm.best]
    if all(one.job.trial for one in chosen):
        chosen.append(trials[0])
    return [
        Job(
            f"{one.job.name}-seed-{seed}",
            one.job.trial,
            one.job.parameters,
            seed,
            params.train_diffusion.epochs,
        )
        for seed in range(params.compute.seed + 1, params.compute.seed + 1 + confirm.seeds)
        for one in chosen
    ]


@dataclass(frozen=True)
class Confirmed:
    """A trial by its accuracies on valid with new seeds."""

    trial: int
    parameters: dict[str, Any]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """The standard deviation over seeds."""
        return float(np.std(self.accuracies, ddof=1))

    def told(self) -> str:
        return f"trial {self.trial} ({self.mean:.3f} ± {self.spread:.3f})"


def best(trials: Sequence[Training], again: Sequence[Training]) -> dict[str, Any]:
    """What best.json holds: {"parameters", "trial", "trials", "mean", "spread", "seeds", "confirmed", "says"}.

    Raises DataError where nothing is left to choose from.
    """
    if not trials:
        return {"parameters": {}, "trial": None}
    if again:
        return _confirmed(trials, again)
    won = ranked(trials)[0]
    return {
        "parameters": dict(won.job.parameters),
        "trial": won.job.trial,
        "trials": [won.job.trial],
        "mean": won.accuracy,
        "spread": None,
        "seeds": [won.job.seed],
        "confirmed": [],
        "says": f"trial {won.job.trial} did best ({won.accuracy:.3f}) in a single training: not told from luck",
    }


def _confirmed(trials: Sequence[Training], again: Sequence[Training]) -> dict[str, Any]:
    whole = _whole(again)
    known = next((one for one in whole if one.trial == 0), None)
    if known is None:
        error = next((one.error for one in again if one.job.trial == 0 and one.error), "they did not end")
        raise DataError(f"the defaults could not be trained anew, so nothing can be better than them: {error}")
    first = max(whole, key=lambda one: (one.mean, -one.trial))
    better = is_better(first, known, rivals=max(1, len(whole) - 1))
    won = first if better else known
    if first.trial == 0:
        says = f"no trial did better than the defaults, {known.told()}"
    elif better:
        says = f"{first.told()} is better than the defaults, {known.told()}, over {len(known.seeds)} new seeds"
    else:
        says = (
            f"{first.told()} and the defaults, {known.told()}, cannot be told apart by {len(known.seeds)} new seeds: "
            "the defaults stay"
        )
    return {
        "parameters": won.parameters,
        "trial": won.trial,
        "trials": sorted(one.trial for one in whole),
        "mean": won.mean,
        "spread": won.spread,
        "seeds": list(won.seeds),
        "confirmed": [
            {"trial": one.trial, "mean": one.mean, "spread": one.spread, "accuracies": list(one.accuracies)}
            for one in sorted(whole, key=lambda one: (-one.mean, one.trial))
        ],
        "says": says,
    }


def _whole(again: Sequence[Training]) -> list[Confirmed]:
    """The trials of which every new training finished."""
    by_trial: dict[int, list[Training]] = {}
    for one in again:
        by_trial.setdefault(one.job.trial, []).append(one)
    return [
        Confirmed(
            trial,
            dict(ones[0].job.parameters),
            tuple(one.job.seed for one in ones),
            tuple(float(one.accuracy or 0.0) for one in ones),
        )
        for trial, ones in sorted(by_trial.items())
        if all(one.status == "finished" for one in ones)
    ]


def is_better(one: Confirmed, other: Confirmed, rivals: int) -> bool:
    """Whether the difference of the means exceeds what the spread of seeds explains (Student, pooled, one-sided).

    `one` was chosen as the best of so many, which shares the level among them (Bonferroni).
    """
    from scipy import stats

    difference = one.mean - other.mean
    error = float(np.sqrt((one.spread**2 + other.spread**2) / len(one.seeds)))
    surely = float(stats.t.ppf(1 - ALPHA / rivals, 2 * (len(one.seeds) - 1)))
    return bool(difference > surely * error and difference > 0)
