"""What MLflow's pages tell of a version: the decision, the verdict and the model card, made from the ledger."""

import textwrap
from typing import Any

from flows import accounts, verdicts
from flows.accounts import Account
from flows.ledger import Entry
from flows.tracking import Version

LENGTH = 5000  # characters that MLflow keeps of a description
WIDTHS = (400, 200, 120, 80, 40)  # characters of a gate's reason: as many as leave room for the card
LICENCES = {
    "embedded": "drawn by this project's own code, Apache-2.0; no person is shown",
    "ferplus": "images FER2013 (Goodfellow et al. 2013), for research; labels FER+ (Barsoum et al. 2016), MIT",
    "rafdb": "RAF-DB (Li et al. 2017): non-commercial research under its authors' agreement",
    "kdef": "KDEF (Lundqvist et al. 1998): non-commercial research, pictures may not be passed on",
}
USE = "To name the expression that a face shows in a very dark image: one centred face, one of the classes it learnt."
LIMITS = (
    "Judged on the camera model of this project and the faces of its test split: another camera, other people, poses "
    "or light may be answered worse, and nothing here says how much. It always answers with one of its classes."
)
ETHICS = (
    "An expression is not a feeling: people show what they do not feel and feel what they do not show, and cultures "
    "differ (Barrett et al. 2019). Not to be used to judge, hire, teach, police or treat people, nor on anyone who "
    "does not know of it; the European AI Act, article 5, forbids it at work and in schools but for health and safety."
)


def of(entries: tuple[Entry, ...], experiment: str, version: Version) -> tuple[str, dict[str, str]]:
    """Description, and the tags that go with it."""
    account = accounts.account(entries, experiment, version.identity)
    judged = account.judged
    tags = {"decision": account.decision or ""}
    if judged:
        tags |= {"policy_sha256": judged.policy_sha256, "ledger.entry": str(judged.number)}
        tags |= {f"gate.{gate['name']}": gate["outcome"] for gate in judged.gates}
    whole = next(
        text for width in WIDTHS if len(text := _page(account, version, width)) <= LENGTH or width == WIDTHS[-1]
    )
    return whole[:LENGTH], tags


def _page(account: Account, version: Version, width: int) -> str:
    lines = [f"**{account.decision}**", ""]
    if account.judged:
        judged = account.judged
        rival = f"version {judged.champion.version}" if judged.champion else "nobody"
        why = textwrap.shorten(judged.why, 4 * width, placeholder=" ...")
        lines += [f"Entry {judged.number} of the ledger, by {judged.who}, against {rival}: {why}", ""]
        lines += [*verdicts.table(judged.gates, width), ""]
    return "\n".join([*lines, _card(version, account.judged)])


def _card(version: Version, judged: Entry | None) -> str:
    tags = version.tags
    source = tags.get("data.source", "")
    licence = LICENCES.get(source, "your own data: its licence is yours to know")
    accuracy = judged.measured.get("test_accuracy", {}).get("candidate", {}) if judged else {}
    curve = "\n".join(["**Darkness** (accuracy on test by exposure)", "```", *verdicts.curve(accuracy), "```"])
    paragraphs = [
        "### Model card",
        f"**Use** {USE}",
        f"**Data** {source}, {tags.get('data.faces', 'unknown')}; faces {tags.get('faces_sha256', '')[:12]}, "
        f"code {tags.get('git.commit', '')[:12]}, parameters {tags.get('params_sha256', '')[:12]}",
        f"**Licence of the data** {licence}",
        curve if accuracy else "**Darkness** not measured",
        _slices(judged),
        f"**Limits** {LIMITS}",
        f"**Ethics** {ETHICS}",
    ]
    return "\n\n".join(paragraphs)


def _slices(judged: Entry | None) -> str:
    parts: list[dict[str, Any]] = [part for gate in judged.gates for part in gate["parts"]] if judged else []
    known = [part for part in parts if part["estimate"] is not None]
    if not known:
        return "**Slices** none was asked of the gates; the report of the experiment shows them on valid"
    rows = [f"{part['name']} {part['estimate']:+.3f} ({part['faces']})" for part in known]
    return f"**Slices** (figure of the gate, faces): {'; '.join(rows)}"
