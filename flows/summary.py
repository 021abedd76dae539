"""The answer of `lldif run` for a person: one table, drawn on a terminal, plain text elsewhere, the same content."""

import io
import os
import sys
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows import result
from flows.progress import duration
from flows.verdicts import MARKS, averaged

# in the words of a person: what Z-hat was put in its place, what else was asked of LLDif, and of stage 1
PRIORS = {
    "one_chain": "inferred",
    "mean": "mean",
    "shuffled": "another face's",
    "zero": "none",
    "oracle": "stage 1's",
}
ASKED = {
    "one_step": "one step",
    "two_steps": "two",
    "four_steps": "four",
    "eight_steps": "eight",
    "eight_chains": "eight chains",
    "image_shuffled": "another face's image",
}
STAGE_ONE = {
    "own_prior": "itself",
    "without_label": "without label",
    "wrong_label": "with a wrong one",
    "dark_image": "in the dark",
}
COLOURS = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "not_applicable": "dim"}
PLAIN_WIDTH = 120  # columns of what goes into a file or a pipe: the same everywhere


def show(answer: dict[str, Any]) -> None:
    """Print the table on standard output."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        Console().print(table(answer, drawn=True))
    else:
        sys.stdout.write(text(answer))


def text(answer: dict[str, Any]) -> str:
    """The table without colour, lines or trailing blanks."""
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table(answer, drawn=False))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def table(answer: dict[str, Any], drawn: bool) -> Table:
    """Stages, accuracy by exposure, gates, decision and what to type next."""
    sections: dict[str, RenderableType] = {
        f"{answer['experiment']}: stages": _stages(answer),
        f"accuracy by exposure ({_explained(answer)})": _scores(answer),
        "measured on valid": Padding(Group(*measured(answer)), (0, 0, 0, 2)),
        "gates": _gates(answer),
        **_warnings(answer),
        "decision": _decision(answer),
        "next": _next(answer),
    }
    # no vertical lines: a command is to be copied
    whole = Table(box=box.HORIZONTALS if drawn else None, show_header=False, show_lines=drawn, show_edge=drawn)
    for name, content in sections.items():
        whole.add_row(Group(Text(name, "bold"), content, *([] if drawn else [Text("")])))
    return whole


def _stages(answer: dict[str, Any]) -> Table:
    rows = _columns("left", "left", "right")
    for stage in answer["stages"]:
        ran = stage["status"] == "ran"
        rows.add_row(stage["name"], "ran" if ran else "up to date", duration(stage["seconds"]) if ran else "")
    return rows


def _explained(answer: dict[str, Any]) -> str:
    accuracy = answer["candidate"]["accuracy"]
    mean = f"; mean_dark: over {averaged(accuracy)}" if "mean_dark" in accuracy else ""
    return f"always the commonest class: {answer['majority']:.3f}{mean}"


def _scores(answer: dict[str, Any]) -> Table:
    scores = result.scores_table(answer)
    rows = _columns("left", *["right"] * (len(scores[0]) - 1))
    rows.add_row(*(Text(name.replace(" (", "\n("), "dim") for name in scores[0]))
    for row in scores:
        rows.add_row(*map(_figure, row.values()))
    return rows


def measured(answer: dict[str, Any]) -> list[str]:
    """What accuracy does not say: likelihood of the votes, the trend over the ladder, and whether Z matters."""
    ours, plain = (answer[model]["nll"] for model in ("candidate", "baseline"))
    name = next(name for name in ("mean_dark", "clean", *ours) if name in ours)
    broken = [row for row in answer["trend"] if row["verdict"] == "broken"]
    trend = ", ".join(f"{row['brighter']} is worse than {row['darker']} by {-row['difference']:.3f}" for row in broken)
    probed, gap = answer["probes"]["lldif"], answer["probes"]["shuffled_gap"]["accuracy"]
    return [
        f"negative log-likelihood of the votes, {name}: LLDif {ours[name]:.3f}, baseline {plain[name]:.3f},"
        f" at least {answer['votes_entropy']:.3f}",
        f"more light never costs accuracy: {f'broken: {trend}' if broken else 'holds'}",
        f"accuracy by Z-hat, exposure {answer['probes']['exposure']}: {_told(probed, PRIORS)}",
        f"asked in {_told(probed, ASKED)}",
        f"stage 1 {_told(answer['probes']['stage_one'], STAGE_ONE)}",
        f"Z-hat is worth {gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}] over another face's",
    ]


def _told(probes: dict[str, dict[str, float]], words: dict[str, str]) -> str:
    return ", ".join(f"{words[probe]} {probes[probe]['accuracy']:.3f}" for probe in words if probe in probes)


def _gates(answer: dict[str, Any]) -> Table:
    rows = _columns("left", "left", "left")
    for gate in answer["gates"]:
        rows.add_row(Text(MARKS[gate["outcome"]], COLOURS[gate["outcome"]]), gate["name"], gate["why"])
    return rows


def _warnings(answer: dict[str, Any]) -> dict[str, RenderableType]:
    lines = [f"  {line}" for line in answer["warnings"]]
    return {"warnings about the data": Text("\n".join(lines))} if lines else {}


def _decision(answer: dict[str, Any]) -> Text:
    style = "bold green" if answer["decision"] == "promoted" else "bold red"
    called = f" = @{answer['alias']}" if answer["alias"] else ""
    return Text.assemble("  ", (answer["decision"], style), f": {answer['model']} version {answer['version']}{called}")


def _next(answer: dict[str, Any]) -> Padding:
    steps = result.next_steps(answer["experiment"])
    lines = [Text.assemble(command, (f"  # {why}", "dim")) for command, why in steps]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _columns(*alignments: Any) -> Table:
    rows = Table.grid(padding=(0, 2), pad_edge=True)
    for alignment in alignments[:-1]:
        rows.add_column(justify=alignment, no_wrap=True)
    rows.add_column(justify=alignments[-1])  # gives way where the terminal is narrow
    return rows


def _figure(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
