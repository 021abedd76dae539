"""Bootstrap bounds and p-values. Faces of one person, and one face at several exposures, are drawn together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import stats

from components.gates.evidence import Table
from components.gates.faces import faces_in
from components.gates.figures import figure
from components.learning.bootstrap import resample

SEED = 1
BLOCK = 250  # resamples whose weights are in memory at once
FEWEST = 2000  # resamples; more for a small alpha, so that twenty of them lie beyond the bound


def groups_of(table: Table, rows: np.ndarray) -> np.ndarray:
    """(N,) the name of what each of `rows` (N,) is drawn with: its subject, or else its face."""
    return np.array([f"subject {table.subjects[row]}" if table.subjects[row] else table.ids[row] for row in rows])


def independent(table: Table, rows: np.ndarray) -> bool:
    """Whether no two of `rows` are of one person or one face."""
    return len(set(groups_of(table, rows))) == len(rows)


def enough(table: Table, rows: np.ndarray, minimum_faces: int) -> bool:
    """Whether `rows` are of so many faces, and not all of one person: then nothing can be drawn."""
    return faces_in(table, rows) >= minimum_faces and len(set(groups_of(table, rows))) > 1


@dataclass(frozen=True)
class Drawn:
    """A figure, and what it would be in resamples of the faces."""

    value: float
    resampled: np.ndarray  # (R,); resamples without any of these faces are left out
    groups: int  # that were drawn

    @property
    def how(self) -> str:
        """Part of a sentence."""
        return f"bootstrap over {self.groups} groups of one person or face each"

    def interval(self, alpha: float) -> tuple[float, float]:
        """Percentiles that leave out alpha on either side, corrected for bias and for few groups.

        A figure that cannot be below zero, as a calibration error, is drawn too high where it is near: the percentiles
        move by twice the quantile at which the figure itself lies (Efron 1987). And the plain interval is too narrow by
        sqrt((G - 1) / G) and by the normal in place of Student's t (Hesterberg 2015, section 4.3).
        """
        tail = stats.t.ppf(alpha, self.groups - 1) * math.sqrt(self.groups / (self.groups - 1))
        shares = stats.norm.cdf([2 * self._bias + tail, 2 * self._bias - tail])
        low, high = np.quantile(self.resampled, shares)
        return float(low), float(high)

    def p_above(self, limit: float) -> float:
        """Of the null that the true figure is at most `limit`: the alpha at which the interval's low end is there."""
        return self._p_value(float(np.sum(self.resampled <= limit)), -self._bias)

    def p_below(self, limit: float) -> float:
        """Of the null that the true figure is at least `limit`."""
        return self._p_value(float(np.sum(self.resampled >= limit)), self._bias)

    @cached_property
    def _bias(self) -> float:
        """The normal quantile at which the figure lies among its resamples; 0 where they are not biased."""
        below, same = np.sum(self.resampled < self.value), np.sum(self.resampled == self.value)
        return self._quantile(float(below + same / 2))

    def _p_value(self, beyond: float, bias: float) -> float:
        z = (self._quantile(beyond) + 2 * bias) * math.sqrt((self.groups - 1) / self.groups)
        return float(stats.t.cdf(z, self.groups - 1))

    def _quantile(self, count: float) -> float:
        """The normal quantile of so many of the resamples; none counts as one, and all as all but one."""
        resamples = len(self.resampled)
        return float(stats.norm.ppf(min(max(count, 1.0), resamples - 1.0) / resamples))


def weights_of(table: Table, rows: np.ndarray, alpha: float) -> Iterator[np.ndarray]:
    """Weights (BLOCK, N) of `rows` (N,), block by block, the same whenever the rows' groups are the same."""
    names, group_of = np.unique(groups_of(table, rows), return_inverse=True)
    for block in range(math.ceil(max(FEWEST, 20 / alpha) / BLOCK)):
        yield _counts(len(names), block)[:, group_of]


@lru_cache(maxsize=16)
def _counts(groups: int, block: int) -> np.ndarray:
    """(BLOCK, G): how often each group is in each resample; gates after one another ask for the same."""
    return resample(np.arange(groups), BLOCK, SEED + block)


@dataclass(frozen=True)
class Draws:
    """A metric in each of P parts of the faces, over the same resamples."""

    values: np.ndarray  # (P,)
    resampled: np.ndarray  # (P, R); not a number where a resample has no face of the part
    groups: tuple[np.ndarray, ...]  # P: names of what was drawn

    def of(self, part: int) -> Drawn:
        return _drawn(self.values[part], self.resampled[part], self.groups[part])

    def gap(self, part: int, other: int) -> Drawn:
        """One part less the other."""
        names = np.union1d(self.groups[part], self.groups[other])
        return _drawn(self.values[part] - self.values[other], self.resampled[part] - self.resampled[other], names)


def _drawn(value: float, resampled: np.ndarray, names: np.ndarray) -> Drawn:
    return Drawn(float(value), resampled[~np.isnan(resampled)], len(names))


def draw(metric: str, models: tuple[Table, ...], parts: list[np.ndarray], alpha: float) -> Draws:
    """The metric of each of `parts` (rows of the table): of one model, or of two the first less the second."""
    rows = np.unique(np.concatenate(parts))
    places = [np.searchsorted(rows, part) for part in parts]

    def values(weights: np.ndarray) -> np.ndarray:
        of = [np.array([figure(metric, table, rows[at], weights[:, at]) for at in places]) for table in models]
        return of[0] - of[1] if len(of) > 1 else of[0]

    whole = values(np.ones((1, len(rows))))[:, 0]
    resampled = np.concatenate([values(weights) for weights in weights_of(models[0], rows, alpha)], axis=1)
    return Draws(whole, resampled, tuple(np.unique(groups_of(models[0], part)) for part in parts))
