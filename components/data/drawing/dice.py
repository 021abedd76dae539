"""Random draws that depend on a counter alone, and the named columns that they fill."""

from dataclasses import dataclass

import numpy as np

SPLIT_KEYS = {"train": 1, "valid": 2, "test": 3}
SUBJECT_STREAM, FACE_STREAM, DRAWS = 0, 1, 112


@dataclass(frozen=True)
class Traits:
    """Named columns, planes and colours of a batch; read as attributes."""

    values: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        return self.values[name]

    def rows(self, rows: slice) -> "Traits":
        """The same, with those rows of pixels of the planes."""
        return Traits({k: v[..., rows, :] if v.ndim > 1 and v.shape[-2] > 1 else v for k, v in self.values.items()})


class Dice:
    """Uniform draws handed out as columns (B, 1, 1); every face has its own counter and depends on its number alone."""

    def __init__(self, seed: int, split: str, stream: int, numbers: np.ndarray) -> None:
        key = [seed, SPLIT_KEYS[split]]
        streams = [np.random.Philox(key=key, counter=[0, 0, stream, number]) for number in numbers]
        draws = [np.random.Generator(bits).random(DRAWS, np.float32) for bits in streams]
        self._columns = iter(np.stack(draws, axis=1)[:, :, None, None])

    def between(self, low: float, high: float) -> np.ndarray:
        return low + (high - low) * next(self._columns)

    def happens(self, share: float) -> np.ndarray:
        """1 for that share of the faces, 0 for the others."""
        return (next(self._columns) < share).astype(np.float32)

    def index(self, count: int) -> np.ndarray:
        """(B,) whole numbers from 0 to count - 1."""
        return self.between(0, count)[:, 0, 0].astype(np.int64)

    def colour(self, low: float, high: float) -> np.ndarray:
        """(3, B, 1, 1), each channel drawn on its own."""
        return np.stack([self.between(low, high) for _ in range(3)])

    def ranges(self, ranges: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
        return {name: self.between(low, high) for name, (low, high) in ranges.items()}
