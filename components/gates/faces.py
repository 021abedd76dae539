"""Which faces a gate is about, and whether both models answered them."""

import numpy as np

from components.gates.evidence import Table
from components.gates.policy import Statistical

CLASS, EXPOSURE, ALL = "class", "exposure", "all"


def rows_at(table: Table, exposures: tuple[float, ...]) -> np.ndarray:
    """Rows of the table at these exposures."""
    return np.flatnonzero(np.isin(table.exposures, exposures))


def rows_of_slice(table: Table, rows: np.ndarray, name: str) -> np.ndarray:
    """Those of `rows` in the slice: "all" or "attribute=value", where class and exposure are attributes too."""
    if name == ALL:
        return rows
    by, _, value = name.partition("=")
    return slices(table, rows, by).get(f"{by}={value}", rows[:0])


def slices(table: Table, rows: np.ndarray, by: str) -> dict[str, np.ndarray]:
    """`rows` by class (those without a face too), exposure or value of an attribute."""
    if by == CLASS:
        return {f"class={name}": rows[table.labels[rows] == label] for label, name in enumerate(table.classes)}
    if by == EXPOSURE:
        return {f"exposure={rung:g}": rows[table.exposures[rows] == rung] for rung in np.unique(table.exposures[rows])}
    values = np.array([table.attributes[row].get(by, "") for row in rows])
    return {f"{by}={value}": rows[values == value] for value in np.unique(values) if value}


def faces_in(table: Table, rows: np.ndarray) -> int:
    """How many faces, each counted once whatever the number of its exposures."""
    return len({table.ids[row] for row in rows})


def where(gate: Statistical) -> str:
    """Part of a sentence."""
    rungs = ", ".join(f"{rung:g}" for rung in gate.exposures)
    return f"at exposure {rungs}" if len(gate.exposures) == 1 else f"over exposures {rungs}"


def unusable(gate: Statistical, metric: str, table: Table | None, who: str) -> str | None:
    """Why a model's answers cannot be judged by this gate, in a sentence; None where they can."""
    if table is None:
        return f"the {who} gave no answers"
    missing = [rung for rung in gate.exposures if rung not in table.exposures]
    if missing:
        there = ", ".join(f"{rung:g}" for rung in np.unique(table.exposures))
        return f"the {who} has no answer at exposure {missing[0]:g}: there is {there}"
    rows = rows_at(table, gate.exposures)
    if not np.isfinite(table.probabilities[rows]).all():
        return f"{_broken(table.probabilities, rows)} of {len(rows)} answers of the {who} are not numbers"
    if metric != "stability":
        return None
    if not table.disturbed:
        return f"the {who} was not asked about disturbed faces"
    for name, probabilities in table.disturbed.items():
        if not np.isfinite(probabilities[rows]).all():
            return f"{_broken(probabilities, rows)} of {len(rows)} answers of the {who} under {name} are not numbers"
    return None


def _broken(probabilities: np.ndarray, rows: np.ndarray) -> int:
    return int((~np.isfinite(probabilities[rows])).any(axis=1).sum())


def check_same_faces(candidate: Table, champion: Table) -> None:
    """Raises ValueError naming the first difference where the two did not answer the same faces in the same order."""
    if candidate.classes != champion.classes:
        raise ValueError(f"classes differ: {', '.join(candidate.classes)} against {', '.join(champion.classes)}")
    if len(candidate.ids) != len(champion.ids):
        raise ValueError(f"candidate answered {len(candidate.ids)} rows, champion {len(champion.ids)}")
    pairs = zip(_names(candidate), _names(champion), strict=True)
    for row, (one, other) in enumerate(pairs):
        if one != other:
            raise ValueError(f"row {row} is {one} to the candidate and {other} to the champion")


def _names(table: Table) -> list[str]:
    rows = zip(table.ids, table.exposures.tolist(), table.labels.tolist(), strict=True)
    return [f"face {id} at exposure {exposure:g} labelled {table.classes[label]}" for id, exposure, label in rows]
