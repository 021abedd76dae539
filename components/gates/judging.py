"""Every declared gate over one evidence."""

from components.gates.absolute import judge_absolute, judge_fairness
from components.gates.cost import judge_cost
from components.gates.evidence import Evidence, Table
from components.gates.faces import check_same_faces, faces_in, rows_at, rows_of_slice, unusable
from components.gates.integrity import judge_integrity
from components.gates.paired import judge_paired
from components.gates.policy import (
    Absolute,
    Cost,
    Fairness,
    Gate,
    Gates,
    Integrity,
    NonInferiority,
    Slices,
    Superiority,
)
from components.gates.resampling import enough
from components.gates.slices import judge_slices
from components.gates.verdict import Verdict


def judge(gates: Gates, evidence: Evidence, alpha_share: float) -> tuple[Verdict, ...]:
    """One verdict per declared gate, in their order.

    alpha_share: the part of each gate's risk that this look at the test set may spend. Raises ValueError naming the
    first difference where candidate and champion did not answer the same faces.
    """
    if evidence.candidate is not None and evidence.champion is not None:
        check_same_faces(evidence.candidate, evidence.champion)
    return tuple(judge_one(gate, evidence, alpha_share) for gate in gates.declared)


def judge_one(gate: Gate, evidence: Evidence, alpha_share: float) -> Verdict:
    compares = isinstance(gate, NonInferiority | Superiority | Slices | Cost)
    if compares and evidence.champion is None:
        return Verdict(gate.name, gate.kind, "not_applicable", "there is no champion to compare with")
    if isinstance(gate, Integrity):
        return judge_integrity(gate, evidence.soundness)
    if isinstance(gate, Cost):
        return judge_cost(gate, evidence.candidate_costs, evidence.champion_costs)
    candidate, champion, alpha = evidence.candidate, evidence.champion, (1 - gate.confidence) * alpha_share
    reason = unusable(gate, gate.metric, candidate, "candidate")
    if compares:
        reason = reason or unusable(gate, gate.metric, champion, "champion")
    if reason:
        return Verdict(gate.name, gate.kind, "fail", reason)
    assert candidate is not None
    few = too_few(gate, candidate)
    if few:
        return few
    match gate:
        case Absolute():
            return judge_absolute(gate, candidate, alpha)
        case Fairness():
            return judge_fairness(gate, candidate, alpha)
    assert champion is not None
    if isinstance(gate, Slices):
        return judge_slices(gate, candidate, champion, alpha)
    return judge_paired(gate, candidate, champion, alpha)


def too_few(gate: Absolute | NonInferiority | Superiority | Slices | Fairness, table: Table) -> Verdict | None:
    """The verdict where the gate's faces are fewer than it asks, or of one person alone."""
    name = "all" if isinstance(gate, Slices | Fairness) else gate.slice
    rows = rows_of_slice(table, rows_at(table, gate.exposures), name)
    if enough(table, rows, gate.minimum_faces):
        return None
    faces = faces_in(table, rows)
    why = f"{faces} faces in {name}: at least {gate.minimum_faces} are asked, and of more than one person"
    return Verdict(gate.name, gate.kind, "inconclusive", why, faces=faces)
