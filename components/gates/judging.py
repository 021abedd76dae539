"""Every declared gate over one evidence."""

from components.gates.evidence import Evidence
from components.gates.policy import Gates
from components.gates.verdict import Verdict


def judge(gates: Gates, evidence: Evidence, alpha_share: float) -> tuple[Verdict, ...]:
    """One verdict per declared gate, in their order.

    alpha_share: the part of each gate's risk that this look at the test set may spend. Raises ValueError naming the
    first difference where candidate and champion did not answer the same faces.
    """
    raise NotImplementedError
