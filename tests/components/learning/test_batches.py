"""Training batches: every face once an epoch, darkened the same way in every run of the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.data.table import Faces
from components.learning.batches import Batches, augment, batch_count, epoch_batches, exposures, on_device
from components.lowlight.camera import photograph
from components.lowlight.noise import keys_of
from components.records import CLEAN

CPU = torch.device("cpu")


def config(**changes) -> Batches:
    given = {
        "size": 8, "exposure_low": 0.005, "exposure_high": 0.2, "clean_share": 0.1, "shift_pixels": 2, "flip": True
    }  # fmt: skip
    return Batches(**given | changes)


def faces(count: int, size: int = 8, seed: int = 1) -> Faces:
    """Each face's label is its number, so that it is known again in a batch."""
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    votes = np.random.default_rng(seed).dirichlet([1, 1], count).astype(np.float32)
    return Faces([f"face-{number}" for number in range(count)], images, np.arange(count), votes, ("a", "b"))


def test_a_batch_is_of_three_faces_at_least():
    with pytest.raises(ValueError, match="size"):
        config(size=2)


def batches(camera, rows: Faces, how: Batches, seed: int = 1, epoch: int = 0):
    return list(epoch_batches(on_device(rows, rows.votes, CPU), how, camera, seed, epoch, darker=True))


def some_keys(count: int) -> torch.Tensor:
    return keys_of([str(number) for number in range(count)], [0.0] * count, 0)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(3, 12), st.integers(0, 99))
def test_every_face_of_an_epoch_appears_once_but_for_a_small_rest(camera, count, size, seed):
    drawn = batches(camera, faces(count, size=2), config(size=size), seed)
    labels = torch.cat([batch.labels for batch in drawn]).tolist()
    assert len(labels) == len(set(labels))
    assert len(drawn) == batch_count(count, config(size=size)) >= 1
    left = count - len(labels)
    assert left * 2 < size
    assert count == 1 or all(len(batch.labels) > 1 for batch in drawn)
    assert all(len(batch.labels) == len(batch.images) == len(batch.keys) for batch in drawn)


def test_targets_stay_with_their_face(camera):
    rows = faces(24)
    for batch in batches(camera, rows, config()):
        assert torch.equal(batch.targets, torch.from_numpy(rows.votes)[batch.labels])


def test_epochs_have_different_orders_and_different_darkness(camera):
    first, second = (batches(camera, faces(16), config(size=16), epoch=epoch)[0] for epoch in (0, 1))
    assert first.labels.tolist() != second.labels.tolist()
    again = torch.argsort(first.labels), torch.argsort(second.labels)
    same = [bool(torch.equal(first.images[i], second.images[j])) for i, j in zip(*again, strict=True)]
    assert sum(same) < 3


def test_a_batch_depends_on_seed_and_epoch_and_not_on_what_was_drawn_before(camera):
    rows = faces(24)
    for epoch in range(3):
        batches(camera, rows, config(), epoch=epoch)
    torch.rand(100)
    late = batches(camera, rows, config(), epoch=3)
    torch.manual_seed(99)
    fresh = batches(camera, rows, config(), epoch=3)
    for one, other in zip(late, fresh, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.keys, other.keys)
    assert batches(camera, rows, config(), seed=2, epoch=3)[0].labels.tolist() != fresh[0].labels.tolist()


def test_a_faces_picture_does_not_depend_on_the_faces_beside_it(camera):
    rows = faces(24)
    some = Faces(rows.ids[:10], rows.images[:10], rows.labels[:10], rows.votes[:10], rows.classes)
    of_all = {
        int(n): image for b in batches(camera, rows, config()) for n, image in zip(b.labels, b.images, strict=True)
    }
    for batch in batches(camera, some, config(size=3)):
        for number, image in zip(batch.labels, batch.images, strict=True):
            assert torch.equal(image, of_all[int(number)])


def test_exposures_are_log_uniform_between_the_bounds_but_for_the_clean_share():
    drawn = exposures(some_keys(8000), config()).double().numpy()
    clean = drawn == CLEAN
    assert clean.mean() == pytest.approx(0.1, abs=5 * (0.09 / 8000) ** 0.5)
    dark = np.log(drawn[~clean])
    assert dark.min() >= np.log(0.005) - 1e-6
    assert dark.max() <= np.log(0.2) + 1e-6
    assert stats.kstest(dark, "uniform", (np.log(0.005), np.log(0.2 / 0.005))).pvalue > 1e-4


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 500)])
def test_no_face_or_every_face_can_be_clean(share, expected):
    assert int((exposures(some_keys(500), config(clean_share=share)) == CLEAN).sum()) == expected


def test_another_seed_is_another_darkness_of_the_same_face(camera):
    """And not only another order."""
    how = config(flip=False, shift_pixels=0, clean_share=0)
    photographs = [
        {int(label): image for batch in batches(camera, faces(24), how, seed)
         for label, image in zip(batch.labels, batch.images, strict=True)}
        for seed in (1, 2)
    ]  # fmt: skip
    both = photographs[0].keys() & photographs[1].keys()
    assert len(both) > 16
    assert not any(torch.equal(photographs[0][label], photographs[1][label]) for label in both)


def test_without_flip_and_shift_clean_faces_are_the_faces_themselves(camera):
    rows = faces(8)
    batch = batches(camera, rows, config(clean_share=1.0, flip=False, shift_pixels=0))[0]
    assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), rows.images[batch.labels])


def test_half_of_the_faces_are_mirrored():
    images = torch.from_numpy(faces(1).images).permute(0, 3, 1, 2).expand(1000, -1, -1, -1)
    seen = augment(images, some_keys(1000), config(shift_pixels=0))
    mirrored = (seen == images.flip(3)).flatten(1).all(1)
    assert torch.equal(mirrored, ~(seen == images).flatten(1).all(1))
    assert float(mirrored.float().mean()) == pytest.approx(0.5, abs=5 * (0.25 / 1000) ** 0.5)


def test_every_shift_up_to_the_reach_occurs_equally_often_and_repeats_the_border():
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    padded = torch.nn.functional.pad(image.float(), (2, 2, 2, 2), mode="replicate").to(torch.uint8)
    shifted = {(y, x): padded[0, 0, y : y + 8, x : x + 8].numpy().tobytes() for y in range(5) for x in range(5)}
    seen = augment(image.expand(2500, -1, -1, -1), some_keys(2500), config(flip=False))
    counts = dict.fromkeys(shifted.values(), 0)
    for moved in seen:
        counts[moved.numpy().tobytes()] += 1  # KeyError: a picture that is no shift of the face
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_training_darkens_with_the_camera_that_makes_the_ladder(camera):
    rows, how = faces(8, size=16), config(flip=False, shift_pixels=0)
    batch = batches(camera, rows, how)[0]
    clean = torch.from_numpy(rows.images[batch.labels]).permute(0, 3, 1, 2)
    assert torch.equal(batch.images, photograph(clean, batch.keys, exposures(batch.keys, how), camera))
    assert not torch.equal(batch.images, clean)
