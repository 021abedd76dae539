"""Whether the candidate in the registry is what it says it is."""

import math

from components.gates.evidence import Soundness
from components.gates.policy import Integrity
from components.gates.verdict import Outcome, Verdict


def judge_integrity(gate: Integrity, soundness: Soundness | None) -> Verdict:
    """Fails with everything that is wrong, in one sentence."""
    if soundness is None:
        return Verdict(gate.name, gate.kind, "fail", "the registered model was not examined", limit=gate.difference)
    if soundness.load_error is not None:
        why = f"it does not load: {soundness.load_error}"
        return Verdict(gate.name, gate.kind, "fail", why, limit=gate.difference)
    found = faults(gate, soundness)
    why = "; ".join(found) or (
        f"it loads, answers as recorded to {soundness.difference:.1g}, holds no pickle and has its lineage"
    )
    outcome: Outcome = "fail" if found else "pass"
    return Verdict(gate.name, gate.kind, outcome, why, soundness.difference, limit=gate.difference)


def faults(gate: Integrity, soundness: Soundness) -> list[str]:
    found = []
    if math.isnan(soundness.difference):
        found.append("its recorded answers could not be reproduced")
    elif soundness.difference > gate.difference:
        found.append(
            f"its answers differ by {soundness.difference:.2g} from those recorded, at most {gate.difference:g}"
        )
    if soundness.pickles:
        found.append(f"its artefact holds pickles: {', '.join(soundness.pickles)}")
    if soundness.missing_tags:
        found.append(f"its lineage lacks {', '.join(soundness.missing_tags)}")
    if soundness.dirty and not gate.allow_dirty:
        found.append("its git tree had changes that were not committed")
    return found
