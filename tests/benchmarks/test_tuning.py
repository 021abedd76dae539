"""Equal tuning: the same trials for every method, on valid alone, and the best of each by what it did in the dark."""

from pathlib import Path

import pytest
import yaml

from benchmarks.comparison import tuning
from benchmarks.comparison.jobs import Arena
from benchmarks.comparison.methods import chosen

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def arena() -> Arena:
    content = yaml.safe_load((REPOSITORY / "params" / "demo.yaml").read_text(encoding="utf-8"))
    return Arena("demo", content, "test", Path("data"), Path("root"))


def line(job, accuracy: float, clean: float = 0.5) -> dict:
    scores = [{"exposure": "clean", "accuracy": clean}, {"exposure": "0.05", "accuracy": accuracy}]
    return {"digest": job.digest, "scores": scores}


def value(content: dict, place: str) -> object:
    section, _, last = place.partition(".")
    return content[section][last]


def test_the_first_trial_is_the_params_file_and_the_rest_vary_optimiser_and_rates():
    first, *rest = tuning.settings(40)
    assert first == tuning.AS_IT_IS
    assert {one.changes["optim.kind"] for one in rest} == set(tuning.KINDS)
    for place, (low, high) in tuning.RATES.items():
        drawn = [one.changes[place] for one in rest]
        assert low <= min(drawn) < 2 * low
        assert high / 2 < max(drawn) <= high
    assert tuning.settings(5) == [first, *rest][:5]


def test_every_method_gets_the_same_trials_and_none_reads_the_test_split(arena):
    tried = tuning.settings(4)
    jobs = tuning.trials(arena, chosen("peers"), tried, epochs=8)
    by_method: dict[str, list] = {}
    for job in jobs:
        settings = {place: value(job.content, place) for place in tried[job.trial].changes}
        assert settings == tried[job.trial].changes
        by_method.setdefault(job.method.name, []).append((job.trial, job.epochs, job.seed, settings))
    assert set(by_method) == {method.name for method in chosen("peers")}
    assert len(by_method["plain"]) == 4
    assert all(trials == by_method["plain"] for trials in by_method.values())
    assert {job.arena.split for job in jobs} == {"valid"}
    assert {job.epochs for job in jobs} == {8}  # a shorter one would lose by that alone


def test_the_best_trial_is_that_of_the_highest_accuracy_in_the_dark_and_ties_go_to_the_lower_number(arena):
    tried = tuning.settings(4)
    jobs = tuning.trials(arena, chosen("plain,lldif"), tried, epochs=8)
    plain, lldif = ([job for job in jobs if job.method.name == name] for name in ("plain", "lldif"))
    accuracies = {0: 0.5, 1: 0.7, 2: 0.7, 3: 0.6}
    found = [line(job, accuracies[job.trial], clean=job.trial / 4) for job in plain]
    found += [line(job, 0.1 * job.trial) for job in lldif[:3]]  # the last one diverged: it has no line
    assert tuning.best(tried, jobs, found) == {"plain": tried[1], "lldif": tried[2]}
    assert tuning.best(tried, jobs, []) == {"plain": tuning.AS_IT_IS, "lldif": tuning.AS_IT_IS}


def test_what_a_method_itself_fixes_no_trial_changes_and_its_line_says_so(arena):
    for job in tuning.trials(arena, chosen("lldif_adamw"), tuning.settings(4), epochs=8):
        assert job.content["optim"]["kind"] == job.changes["optim.kind"] == "adamw"
