"""Training as a generator of reports: killed and resumed, it ends as if never killed."""

import dataclasses
import math
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from components.data.table import Faces
from components.learning import checkpoint, inference, losses
from components.learning.compute import prepare
from components.learning.training import DivergedError, Learner, epochs_done, fit, watch_accuracy
from components.model.baselines import Plain
from components.model.lldif import FacesConfig, LLDif, StageOne

FACES = FacesConfig(classes=("a", "b", "c"), shape=(32, 32, 3))


@pytest.fixture(scope="module")
def rows() -> Faces:
    """60 faces of three classes, told apart by their brighter third."""
    generator = np.random.default_rng(5)
    images, labels = generator.integers(0, 120, (60, 32, 32, 3), dtype=np.uint8), np.arange(60) % 3
    for image, label in zip(images, labels, strict=True):
        image[:, 10 * label : 10 * label + 10] += 100
    votes = np.eye(len(FACES.classes), dtype=np.float32)[labels]
    return Faces([f"face-{number}" for number in range(60)], images, labels, votes, FACES.classes)


class Run:
    """One training in a folder: its network is built anew from the seed, as a new process would."""

    def __init__(self, path: Path, network: str, course, rows, watched, parts) -> None:
        prepare(course.compute)
        small_model, diffusion, stage_one_loss, stage_two_loss, objective = parts
        model, aim = small_model(), objective()
        self.path = path / "checkpoint.safetensors"
        answer = lambda x, labels: self.network(x)  # noqa: E731
        if network == "plain":
            self.network = Plain(model, FACES)
            loss = lambda batch, progress: losses.plain(self.network, batch, aim)  # noqa: E731
        elif network == "stage_one":
            self.network = StageOne(model, FACES)
            config = stage_one_loss(darker_weight=0.1)
            loss = lambda batch, progress: losses.stage_one(self.network, batch, config, aim)  # noqa: E731
            answer = lambda x, labels: self.network(x, labels)  # noqa: E731
        else:
            teacher = StageOne(model, FACES).requires_grad_(False).eval()
            self.network = LLDif(model, diffusion(), FACES)
            config = stage_two_loss(logit_weight=0.5, prior_phase=0.4)
            loss = lambda batch, progress: losses.stage_two(self.network, teacher, batch, progress, config, aim)  # noqa: E731
        self.learner = Learner(self.network, loss, answer)
        self.reports = fit(self.learner, rows, rows.votes, watched(rows), course, self.path)

    def weights(self, folder: Path) -> bytes:
        inference.save(folder / "model", self.network, {})
        return (folder / "model").read_bytes()


@pytest.fixture
def start(tmp_path, course, rows, watched, small_model, diffusion, stage_one_loss, stage_two_loss, objective):
    parts = (small_model, diffusion, stage_one_loss, stage_two_loss, objective)

    def make(name: str, network: str = "plain", **changes) -> Run:
        (tmp_path / name).mkdir(exist_ok=True)
        plan = dataclasses.replace(course(**changes), darker_views=network == "stage_one")
        return Run(tmp_path / name, network, plan, rows, watched, parts)

    return make


def test_there_is_one_report_an_epoch_with_finite_figures(start):
    run = start("a")
    reports = list(run.reports)
    assert [(r.stage, r.step, r.total) for r in reports] == [("train_prior", n, 3) for n in (1, 2, 3)]
    for report in reports:
        assert set(report.metrics) == {"loss", "train_accuracy", "rate_share", "valid_accuracy"}
        assert all(math.isfinite(value) for value in report.metrics.values())
    assert reports[-1].metrics["rate_share"] < 0.2
    assert checkpoint.read(run.path)[1]["history"] == [dict(report.metrics) for report in reports]


def test_the_same_seed_gives_the_same_bytes(start, tmp_path):
    one = start("a")
    figures = list(one.reports)
    other = start("b")
    assert list(other.reports) == figures
    assert one.weights(tmp_path / "a") == other.weights(tmp_path / "b")


@pytest.mark.parametrize(
    ("network", "precision", "kind"),
    [
        ("plain", "float32", "muon"),
        ("plain", "float32", "adamw"),
        ("stage_one", "bfloat16", "muon"),
        ("lldif", "bfloat16", "muon"),
    ],
)
@pytest.mark.parametrize("reports_seen", [1, 3])
def test_a_killed_training_ends_as_if_never_killed(start, tmp_path, network, precision, kind, reports_seen):
    whole = start("whole", network, precision=precision, kind=kind)
    expected = list(whole.reports)

    first = start("killed", network, precision=precision, kind=kind)
    seen = list(islice(first.reports, reports_seen))
    first.reports.close()
    done = epochs_done(first.path)
    assert done == reports_seen - 1  # the report comes before its checkpoint

    torch.manual_seed(12345)  # whatever happened in between
    second = start("killed", network, precision=precision, kind=kind)
    rest = list(second.reports)
    assert [*seen[:done], *rest] == expected
    assert second.weights(tmp_path / "killed") == whole.weights(tmp_path / "whole")
    assert second.path.read_bytes() == whole.path.read_bytes()


def test_a_finished_training_has_nothing_left_to_do(start, tmp_path):
    run = start("a")
    list(run.reports)
    again = start("a")
    assert list(again.reports) == []
    assert again.weights(tmp_path / "a") == run.weights(tmp_path / "a")
    assert epochs_done(run.path) == 3


def test_without_a_checkpoint_no_epoch_is_done(tmp_path):
    assert epochs_done(tmp_path / "none") == 0


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_training_learns_what_is_easy(start, kind):
    reports = list(start("a", epochs=6, kind=kind, size=10).reports)
    assert reports[-1].metrics["loss"] < 0.7 * reports[0].metrics["loss"]
    assert reports[-1].metrics["valid_accuracy"] > 0.6  # chance is a third


def test_an_absurd_learning_rate_is_one_line_and_its_epoch_leaves_no_checkpoint(start):
    run = start("a", kind="adamw", rate=1e36)
    says = r"^train_prior: loss is \S+ in epoch (\d): lower the learning rate$"
    with pytest.raises(DivergedError, match=says) as failed:
        list(run.reports)
    epoch = re.match(says, str(failed.value))
    assert epoch
    assert epochs_done(run.path) == int(epoch[1]) - 1


def test_a_damaged_checkpoint_stops_the_training_with_one_line(start):
    run = start("a")
    list(run.reports)
    run.path.write_bytes(run.path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^[^\n]*not a readable weights file[^\n]*$"):
        list(start("a").reports)


def test_watching_neither_trains_nor_depends_on_the_batch(start, rows, watched):
    run = start("a")
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    some = dataclasses.replace(
        watched(rows), images=np.repeat(rows.images, 5, axis=0), labels=np.repeat(rows.labels, 5)
    )
    assert watch_accuracy(run.learner, some) == watch_accuracy(run.learner, watched(rows))
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
