"""Probes of Z on models where the answer is known. About 3 s."""

import numpy as np
import pytest
import torch

from components.learning import inference, probes
from components.learning.calibration import Calibration
from components.learning.evaluation import Resampling
from components.learning.metrics import accuracy, score
from components.learning.probes import Probed, derangement, probe
from components.model.diffusion import DiffusionConfig
from components.model.light import Seen
from components.model.lldif import LLDif, StageOne
from components.model.llformer import Recognised

FACES = 42
DIFFUSION = DiffusionConfig(
    form="chain",
    steps=2,
    beta_low=0.1,
    beta_high=0.99,
    predicts="z0",
    blocks=1,
    reverse_noise=False,
    samples=1,
    voice=0.0,
)
AS_IT_IS = Calibration(1.0, (0.0,) * 7)
IN_STEPS = ["one_step", "two_steps", "four_steps", "eight_steps"]
OF_LLDIF = ["one_chain", "eight_chains", *IN_STEPS, "zero", "mean", "shuffled", "oracle", "image_shuffled"]
HOW = Resampling.of([f"f{number}" for number in range(FACES)], [""] * FACES, 100, 0.95, 1)


@pytest.fixture(scope="module")
def faces(drawn_faces) -> Probed:
    drawn = drawn_faces("valid", FACES)
    votes = 0.7 * drawn.votes + np.float32(0.3 / 7)
    return Probed(drawn.images // 8, drawn.images, drawn.labels, votes)


@pytest.fixture
def stages(small_model, embedded_faces):
    def make(label_input: bool = False, voice: float = 0.0) -> tuple[LLDif, StageOne]:
        torch.manual_seed(1)
        model = small_model(label_input)
        diffusion = DIFFUSION.model_copy(update={"voice": voice})
        stage_one, network = StageOne(model, embedded_faces).eval(), LLDif(model, diffusion, embedded_faces).eval()
        for name, weights in stage_one.llformer.named_parameters():
            if "modulation" in name:  # which starts at zero: here Z must be able to say something
                torch.nn.init.normal_(weights, std=0.5)
        network.start_from(stage_one, warm=True, frozen_encoder=True)
        return network, stage_one

    return make


def ask(network: LLDif, stage_one: StageOne, faces: Probed, calibration: Calibration = AS_IT_IS):
    return probe(network, calibration, stage_one, faces, HOW, 1)


def test_every_probe_is_there_with_accuracy_and_likelihood(stages, faces):
    found = ask(*stages(), faces)
    assert list(found["lldif"]) == OF_LLDIF
    assert list(found["stage_one"]) == ["own_prior", "dark_image"]
    assert all(set(row) == {"accuracy", "nll"} for part in ("lldif", "stage_one") for row in found[part].values())
    assert set(found["shuffled_gap"]) == {"accuracy", "nll"}
    assert found == ask(*stages(), faces)


def test_a_recogniser_that_ignores_z_loses_nothing_by_any_z(stages, faces):
    network, stage_one = stages()
    for name, weights in network.llformer.named_parameters():
        if "modulation" in name:
            torch.nn.init.zeros_(weights)
    found = ask(network, stage_one, faces)
    rows = found["lldif"]
    assert all(rows[name] == rows["one_chain"] for name in OF_LLDIF if name != "image_shuffled")
    assert rows["image_shuffled"] != rows["one_chain"]
    for metric in ("accuracy", "nll"):
        assert set(found["shuffled_gap"][metric].values()) == {0.0}


def tell(network: LLDif, stage_one: StageOne, monkeypatch, right: np.ndarray) -> None:
    """Z-hat and Z are the label, and the answer is read off Z alone; the faces are told apart by their mean."""
    place = {float(image.mean()): label for image, label in right}

    def read(seen):
        labels = torch.tensor([place[float(image.mean())] for image in seen.planes])
        return torch.nn.functional.one_hot(labels, 16).float()

    for stage in (network, stage_one):
        monkeypatch.setattr(stage, "see", lambda images: Seen(images.float(), images.float()))
        monkeypatch.setattr(stage, "recognise", lambda seen, z: Recognised([], z, 5 * z[:, :7]))
    monkeypatch.setattr(network, "condition_of", read)
    monkeypatch.setattr(network, "infer_prior", lambda condition, chain: condition)
    monkeypatch.setattr(
        stage_one, "true_prior", lambda dark, clean, labels, told: torch.nn.functional.one_hot(labels, 16).float()
    )


def test_a_recogniser_that_reads_the_label_off_z_falls_with_z_and_not_with_the_image(stages, faces, monkeypatch):
    network, stage_one = stages()
    images = torch.from_numpy(faces.dark).permute(0, 3, 1, 2).float()
    assert len({float(image.mean()) for image in images}) == FACES
    tell(network, stage_one, monkeypatch, list(zip(images, faces.labels.tolist(), strict=True)))
    found = ask(network, stage_one, faces)
    accuracies = {name: row["accuracy"] for name, row in found["lldif"].items()}
    assert accuracies["one_chain"] == accuracies["eight_chains"] == accuracies["oracle"] == 1
    assert accuracies["image_shuffled"] == 1
    assert found["prior"]["explained"] == 1
    assert found["stage_one"]["own_prior"]["accuracy"] == 1
    other = derangement(FACES, 1)
    assert accuracies["shuffled"] == round(accuracy(faces.labels[other], faces.labels), 4) < 0.5
    # no Z: all classes alike, which costs ln 7 and names the first
    assert found["lldif"]["zero"]["nll"] == round(np.log(7), 4)
    assert accuracies["zero"] == round(float(np.mean(faces.labels == 0)), 4)
    gap = found["shuffled_gap"]
    assert gap["accuracy"]["low"] > 0 > gap["nll"]["high"]
    assert gap["accuracy"]["value"] == pytest.approx(1 - accuracies["shuffled"], abs=1e-4)


def test_the_label_in_z_is_found_by_withholding_it_and_by_lying(stages, faces):
    """The paper's form, with PNET cut down to the label's own embedding: Z is the label, whatever the image."""
    network, stage_one = stages(label_input=True)
    first = stage_one.prior.network.body[0]
    torch.nn.init.zeros_(first.weight[:, : first.weight.shape[1] // 2])
    seen = stage_one.see(torch.from_numpy(faces.dark).permute(0, 3, 1, 2))
    true, wrong = (stage_one.true_prior(seen, seen, labels) for labels in both(faces))
    assert torch.equal(true[faces.labels == 0], true[faces.labels == 0][:1].expand_as(true[faces.labels == 0]))
    assert not torch.allclose(true, wrong)
    found = ask(network, stage_one, faces)
    assert list(found["stage_one"]) == ["own_prior", "without_label", "wrong_label", "dark_image"]
    assert found["stage_one"].pop("dark_image") == found["stage_one"]["own_prior"]  # here Z is made of it
    assert len({row["nll"] for row in found["stage_one"].values()}) == 3


def both(faces: Probed) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.from_numpy(faces.labels)
    return labels, (labels + 1) % 7


def test_a_constant_prior_shows_as_no_deviation_though_its_chains_differ(stages, faces, monkeypatch):
    network, stage_one = stages()
    monkeypatch.setattr(network, "infer_prior", lambda condition, chain: network.starts[chain] + 0 * condition)
    found = ask(network, stage_one, faces)
    assert found["prior"]["inferred_deviation"] == 0
    assert found["prior"]["chain_deviation"] > 0.5
    assert found["prior"]["true_deviation"] > 0
    assert found["prior"]["explained"] < 0  # any constant but Z's mean is worse than that
    assert found["lldif"]["shuffled"] == found["lldif"]["mean"] == found["lldif"]["one_chain"]


@pytest.mark.parametrize("voice", [0.0, 0.25])
def test_one_chain_is_the_answer_of_the_model_itself(stages, faces, voice):
    network, stage_one = stages(voice=voice)
    network.denoiser.leave.weight.data *= 3
    calibration = Calibration(1.7, (0.0, 0.1, 0.2, 0.3, 0.0, -0.5, 0.0))
    model = inference.Model(network, None, calibration, False)
    one = score("x", inference.predict(model, faces.dark), faces.labels, faces.votes)
    found = ask(network, stage_one, faces, calibration=calibration)["lldif"]
    assert (found["one_chain"]["accuracy"], found["one_chain"]["nll"]) == (round(one.accuracy, 4), round(one.nll, 4))
    plainly = ask(network, stage_one, faces, calibration=Calibration(1.7, AS_IT_IS.offsets))["lldif"]
    assert plainly["eight_chains"] != plainly["one_chain"]


def test_in_as_many_steps_as_it_was_trained_in_it_is_the_chain_itself_and_in_others_not(stages, faces):
    network, stage_one = stages()
    network.denoiser.leave.weight.data *= 3
    found = ask(network, stage_one, faces)["lldif"]
    assert DIFFUSION.steps == 2
    assert found["two_steps"] == found["one_chain"]
    assert len({found[name]["nll"] for name in IN_STEPS}) == 4
    assert network.denoiser.plan.steps == 2  # it was asked, not changed


def test_what_is_asked_at_once_changes_nothing(stages, faces, monkeypatch):
    whole = ask(*stages(), faces)
    monkeypatch.setattr(probes, "FACES_AT_ONCE", 16)
    parts = ask(*stages(), faces)
    for name in OF_LLDIF:
        assert parts["lldif"][name] == pytest.approx(whole["lldif"][name], abs=2e-4)


@pytest.mark.parametrize("count", [2, 3, 10, 999])
@pytest.mark.parametrize("seed", [0, 1])
def test_shuffling_leaves_no_face_in_its_place(count, seed):
    order = derangement(count, seed)
    assert sorted(order) == list(range(count))
    assert (order != np.arange(count)).all()
