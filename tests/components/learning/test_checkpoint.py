"""Weights and checkpoints: the same content gives the same bytes, and what is damaged is said to be."""

import json
import random
import struct

import pytest
import torch

from components.learning import checkpoint
from components.learning.optim import OptimConfig, optimizers
from components.model.lldif import FacesConfig, StageOne
from components.records import DataError

FACES = FacesConfig(classes=("a", "b", "c"), shape=(32, 32, 3))
CONFIG = OptimConfig(kind="muon", adamw_rate=0.01, muon_rate=0.02, weight_decay=0.1, warmup_share=0.0)
SEED = 20261122


def step(network: StageOne, optimisers) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    seen = network.see(images)
    z = network.true_prior(seen, seen, torch.tensor([0, 1, 2, 0]))
    for optimiser in optimisers:
        optimiser.zero_grad()
    guided, withheld = (network.recognise(seen, prior).logits for prior in (z, network.unknown.expand(4, -1)))
    features = network.prior.image_encoder(seen)
    alike = network.prior.similarity(z).square().sum() + network.prior.likeness(features, features.flip(0)).sum()
    (guided.square().sum() + withheld.square().sum() + alike).backward()
    for optimiser in optimisers:
        optimiser.step()


@pytest.fixture
def trained(small_model):
    network = StageOne(small_model(), FACES)
    optimisers = optimizers(network, CONFIG)
    step(network, optimisers)
    step(network, optimisers)
    return network, optimisers


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_tensors_and_notes_come_back_as_written(tmp_path):
    tensors = {
        "a": torch.randn(3, 4),
        "b": torch.tensor(7),
        "c": torch.zeros(0),
        "d": torch.ones(2, dtype=torch.bfloat16),
    }
    notes = {"history": [{"loss": 0.1 + 0.2, "accuracy": 1 / 3}], "kind": "Größe"}
    checkpoint.write(tmp_path / "c", tensors, notes)
    read, noted = checkpoint.read(tmp_path / "c")
    assert same(read, tensors)
    assert {name: tensor.dtype for name, tensor in read.items()} == {name: t.dtype for name, t in tensors.items()}
    assert noted == notes  # figures to the last bit


def test_the_same_content_gives_the_same_bytes_whatever_its_order(tmp_path):
    a, b = torch.randn(3, 4), torch.randn(5)
    checkpoint.write(tmp_path / "one", {"a": a, "b": b}, {"x": 1, "y": 2})
    checkpoint.write(tmp_path / "two", {"b": b, "a": a}, {"y": 2, "x": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_how_a_tensor_lies_in_memory_does_not_show(tmp_path):
    x = torch.randn(2, 3, 4, 4)
    checkpoint.write(tmp_path / "one", {"x": x}, {})
    checkpoint.write(tmp_path / "two", {"x": x.to(memory_format=torch.channels_last)}, {})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_metadata_hold_one_key_with_sorted_json(tmp_path):
    """Several keys change their order from process to process."""
    checkpoint.write(tmp_path / "c", {"x": torch.ones(1)}, {"b": 1, "a": {"d": 1, "c": 2}})
    data = (tmp_path / "c").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["lldif"]
    assert metadata["lldif"].startswith('{"notes": {"a": {"c": 2, "d": 1}, "b": 1}, "sha256": "')


def test_network_and_optimisers_go_on_from_a_checkpoint_as_if_never_stopped(tmp_path, small_model, trained):
    network, optimisers = trained
    checkpoint.write(tmp_path / "c", checkpoint.capture(network, optimisers), {})
    step(network, optimisers)

    torch.manual_seed(99)
    other = StageOne(small_model(), FACES)
    fresh = optimizers(other, CONFIG)
    checkpoint.restore(checkpoint.read(tmp_path / "c")[0], other, fresh)
    step(other, fresh)
    assert same(checkpoint.capture(other, fresh), checkpoint.capture(network, optimisers))


def test_a_checkpoint_holds_weights_statistics_momentum_and_both_moments(trained):
    names = set(checkpoint.capture(*trained))
    assert "network.llformer.head.weight" in names
    assert "network.llformer.dynamic.stem.0.1.running_mean" in names
    quantities = {name.rsplit(".", 1)[1] for name in names if name.startswith("optimizer.")}
    assert quantities == {"exp_avg", "exp_avg_sq", "step", "momentum"}
    count = sum(1 for _ in trained[0].parameters())
    assert len({name.rsplit(".", 1)[0] for name in names if name.startswith("optimizer.")}) == count


def test_a_checkpoint_holds_copies_once_it_is_written(tmp_path, trained):
    network, optimisers = trained
    checkpoint.write(tmp_path / "c", checkpoint.capture(network, optimisers), {})
    before = checkpoint.read(tmp_path / "c")[0]
    step(network, optimisers)
    assert same(checkpoint.read(tmp_path / "c")[0], before)
    assert not same(checkpoint.capture(network, optimisers), before)


@pytest.fixture
def whole(tmp_path, trained):
    path = tmp_path / "whole"
    checkpoint.write(path, checkpoint.capture(*trained), {"history": [{"loss": 1.5}]})
    return path


@pytest.mark.parametrize("draw", [random.Random(SEED + number).random() for number in range(20)])
def test_a_checkpoint_cut_short_is_one_line(tmp_path, whole, draw):
    (tmp_path / "c").write_bytes(whole.read_bytes()[: int(draw * whole.stat().st_size)])
    with pytest.raises(DataError, match=r"^[^\n]*c: not a readable weights file [^\n]*; make it again$"):
        checkpoint.read(tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"\xff" * 8 + b"{}", struct.pack("<Q", 2) + b"{}"])
def test_what_is_no_checkpoint_is_one_line(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DataError, match=r"^[^\n]*c: not a readable weights file [^\n]*$"):
        checkpoint.read(tmp_path / "c")


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^[^\n]*c: not a readable weights file [^\n]*$"):
        checkpoint.read(tmp_path / "c")


def test_damaged_notes_are_one_line(tmp_path, whole):
    data = whole.read_bytes()
    place = data.index(b"{", data.index(b'"lldif"'))
    (tmp_path / "c").write_bytes(data[:place] + b"x" + data[place + 1 :])
    try:
        checkpoint.read(tmp_path / "c")
    except DataError:
        return
    pytest.fail("read as if it were whole")


def test_damaged_weights_are_noticed(tmp_path, whole):
    data = bytearray(whole.read_bytes())
    data[-100] ^= 64
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(DataError):
        checkpoint.read(tmp_path / "c")


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    """Names, shapes, notes and values alike; a bit that changes none of them may pass."""
    tensors = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(3), "c": torch.zeros(0)}
    notes = {"history": [{"loss": 1.5}], "kind": "plain"}
    checkpoint.write(tmp_path / "c", tensors, notes)
    data, complaints = (tmp_path / "c").read_bytes(), []
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << random.Random(SEED + place).randrange(8)
        (tmp_path / "c").write_bytes(damaged)
        try:
            read, noted = checkpoint.read(tmp_path / "c")
        except DataError as error:
            complaints.append(str(error))
        else:
            assert same(read, tensors), (SEED, place)
            assert noted == notes, (SEED, place)
    assert len(complaints) > 0.9 * len(data)
    assert not [line for line in complaints if "\n" in line]
