"""A model's file holds all that is needed to build it again."""

import json

import numpy as np
import pytest
import torch

from components.learning import checkpoint, inference
from components.learning.calibration import Calibration
from components.learning.compute import Compute, prepare
from components.learning.inference import Model
from components.model.baselines import PEERS, Plain
from components.model.diffusion import DiffusionConfig
from components.model.lldif import FacesConfig, LLDif, StageOne
from components.records import DataError

AS_IT_IS = Calibration(1.0, (0.0, 0.0, 0.0))
FACES = FacesConfig(classes=("calm", "glad", "cross"), shape=(32, 32, 1))
DIFFUSION = DiffusionConfig(
    form="chain",
    steps=3,
    beta_low=0.1,
    beta_high=0.9,
    predicts="noise",
    blocks=2,
    reverse_noise=True,
    samples=2,
    voice=0.3,
)


@pytest.fixture(params=["stage_one", "lldif", *PEERS])
def made(request, small_model):
    """A network and the notes of its file."""
    model = small_model()
    notes = {"kind": request.param, "model": model.model_dump(), "faces": FACES.model_dump()}
    if request.param in PEERS:
        return PEERS[request.param](model, FACES), notes
    if request.param == "stage_one":
        return StageOne(model, FACES), notes
    return LLDif(model, DIFFUSION, FACES), notes | {"diffusion": DIFFUSION.model_dump()}


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)


def test_a_network_is_built_again_from_its_file_ready_to_answer(tmp_path, made):
    network, notes = made
    inference.save(tmp_path / "m", network, notes)
    torch.manual_seed(77)
    model = inference.load(tmp_path / "m")
    loaded, faces = model.network, model.faces
    assert type(loaded) is type(network)
    assert faces == FACES
    assert not loaded.training
    theirs = loaded.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())
    x, labels = torch.from_numpy(images(3)).permute(0, 3, 1, 2), torch.tensor([0, 1, 2])
    given = (x, labels) if isinstance(network, StageOne) else (x,)
    answers, again = network.eval()(*given), loaded(*given)
    assert torch.equal(answers[0], again[0])


def test_the_same_network_gives_the_same_file(tmp_path, made):
    for name in ("a", "b"):
        inference.save(tmp_path / name, *made)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.dumps(str(tmp_path)) not in (tmp_path / "a").read_text(errors="replace")


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(small_model, monkeypatch):
    network = LLDif(small_model(), DIFFUSION, FACES).eval()
    together = inference.predict(Model(network, FACES, AS_IT_IS, False), images(7))
    assert (together.shape, together.dtype) == ((7, 3), np.float32)
    assert together.sum(1) == pytest.approx(np.ones(7), abs=1e-5)
    monkeypatch.setattr(inference, "BATCH", 2)
    assert inference.predict(Model(network, FACES, AS_IT_IS, False), images(7)) == pytest.approx(together, abs=1e-5)


def test_log_probabilities_and_logits_both_become_probabilities(small_model):
    network = Plain(small_model(), FACES).eval()
    logits = network(torch.from_numpy(images(4)).permute(0, 3, 1, 2))
    plain = inference.predict(Model(network, FACES, AS_IT_IS, False), images(4))
    assert plain == pytest.approx(logits.softmax(1).detach().numpy(), abs=1e-6)
    normal = torch.nn.Sequential(network, torch.nn.LogSoftmax(1))
    assert inference.predict(Model(normal, FACES, AS_IT_IS, False), images(4)) == pytest.approx(plain, abs=1e-6)


def test_the_temperature_of_a_file_softens_its_answers_and_changes_none(tmp_path, small_model):
    model = small_model()
    network = Plain(model, FACES).eval()
    notes = {"kind": "plain", "model": model.model_dump(), "faces": FACES.model_dump()}
    inference.save(tmp_path / "m", network, notes | {"temperature": 4.0})
    sharp = inference.predict(Model(network, FACES, AS_IT_IS, False), images(9))
    soft = inference.predict(inference.load(tmp_path / "m"), images(9))
    assert np.array_equal(soft.argmax(1), sharp.argmax(1))
    assert (soft.max(1) < sharp.max(1)).all()


def test_the_offsets_of_a_file_multiply_the_odds_of_each_class(tmp_path, small_model):
    model = small_model()
    network = Plain(model, FACES).eval()
    notes = {"kind": "plain", "model": model.model_dump(), "faces": FACES.model_dump()}
    inference.save(tmp_path / "m", network, notes | {"temperature": 1.0, "offsets": [0.0, 1.5, -2.0]})
    odds = inference.predict(inference.load(tmp_path / "m"), images(9))
    before = inference.predict(Model(network, FACES, AS_IT_IS, False), images(9))
    factors = odds / before
    assert factors[:, 1] / factors[:, 0] == pytest.approx(np.full(9, np.exp(1.5)), rel=1e-4)
    assert factors[:, 2] / factors[:, 0] == pytest.approx(np.full(9, np.exp(-2.0)), rel=1e-4)


def test_an_answer_averaged_over_flips_is_the_same_for_a_face_and_its_mirror_image(tmp_path, small_model):
    network = Plain(small_model(), FACES).eval()
    notes = {"kind": "plain", "model": small_model().model_dump(), "faces": FACES.model_dump()}
    inference.save(tmp_path / "m", network, notes | {"temperature": 1.0, "flip_average": True})
    x = images(5)
    mirrored = np.ascontiguousarray(x[:, :, ::-1])
    once = [inference.predict(Model(network, FACES, AS_IT_IS, False), shown) for shown in (x, mirrored)]
    averaged = inference.predict(inference.load(tmp_path / "m"), x)
    assert averaged == pytest.approx((once[0] + once[1]) / 2, abs=1e-6)
    assert inference.predict(inference.load(tmp_path / "m"), mirrored) == pytest.approx(averaged, abs=1e-6)


def test_a_model_cut_short_is_one_line(tmp_path, made):
    inference.save(tmp_path / "m", *made)
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"^[^\n]*m: not a readable weights file [^\n]*$"):
        inference.load(tmp_path / "m")


@pytest.mark.parametrize("without", ["weights", "kind", "faces"])
def test_a_file_that_is_no_whole_model_is_one_line(tmp_path, small_model, without):
    network = Plain(small_model(), FACES)
    notes = {"kind": "plain", "model": small_model().model_dump(), "faces": FACES.model_dump()}
    tensors = {} if without == "weights" else network.state_dict()
    checkpoint.write(tmp_path / "m", tensors, {name: value for name, value in notes.items() if name != without})
    with pytest.raises(DataError, match=r"^[^\n]*$"):
        inference.load(tmp_path / "m")


def test_preparing_seeds_the_first_weights(small_model):
    def first() -> torch.Tensor:
        prepare(Compute(seed=3, threads=1, precision="float32"))
        return Plain(small_model(), FACES).llformer.head.weight

    assert torch.equal(first(), first())
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
