"""The benchmark compares like with like: its plain version is the same camera, written and drawn independently."""

import numpy as np
import pytest
import torch

from benchmarks.darken import cases, photograph_plainly
from components.lowlight.camera import photograph
from components.lowlight.noise import keys_of

COUNT = 300
CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_plain_version_takes_the_same_photographs_on_average(case):
    """One face many times: level and spread agree as a whole, and the mean pictures agree pixel by pixel."""
    image, generator = case.images[3:4], np.random.default_rng(1)
    keys, exposures = keys_of([str(n) for n in range(COUNT)], [0.05] * COUNT, 0), torch.full((COUNT,), 0.05)
    taken = photograph(image.expand(COUNT, -1, -1, -1).contiguous(), keys, exposures, case.camera)
    ours = taken.permute(0, 2, 3, 1).double().numpy()
    pixels = image[0].permute(1, 2, 0).numpy()
    plain = np.stack([photograph_plainly(pixels, 0.05, generator, case.camera) for _ in range(COUNT)]).astype(float)
    assert ours.mean() == pytest.approx(plain.mean(), abs=1)
    assert ours.std(0).mean() == pytest.approx(plain.std(0).mean(), rel=0.05)
    assert np.corrcoef(ours.mean(0).ravel(), plain.mean(0).ravel())[0, 1] > 0.99
