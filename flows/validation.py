"""Great Expectations judges a face table; nothing is trained on one that fails.

The rules are built here from the limits in the params file; what they look at are facts (components/stages/facts.py).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components import atomic
from components.data import sources
from components.data.table import SPLITS
from components.records import DataError, Report
from components.stages import facts
from components.stages.validate import Level, Params

os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")


FINDINGS = "findings.json"  # beside the pages, also of a table that failed: flows/projection.py looks for it


@dataclass(frozen=True)
class Rule:
    """One expectation about one table of facts, in Great Expectations' words and in ours."""

    table: str
    says: str
    expectation: str  # its class in Great Expectations
    limits: dict[str, Any]
    level: Level = "error"
    allowed: str = ""
    only_split: str | None = None


@dataclass(frozen=True)
class Finding:
    """What became of one rule: how many rows of how many broke it, and what was seen there."""

    table: str
    says: str
    expectation: str
    level: Level
    success: bool
    broken: int
    rows: int
    seen: str
    allowed: str

    @property
    def line(self) -> str:
        return (
            f"{self.says} ({self.expectation}): broken by {self.broken} of {self.rows} rows of {self.table}"
            f"{f', such as {self.seen}' if self.seen else ''}; allowed is {self.allowed}"
        )


def run(params: Params, raw: Path, folder: Path, state: Path, pages: Path) -> Iterator[Report]:
    """faces.parquet, rejects.parquet -> validation.json; the same as pages of HTML under `pages`.

    Raises DataError, naming expectation and rows, where a rule of level "error" is broken.
    """
    found = examine(params, folder / "faces.parquet", folder / "rejects.parquet", pages)
    errors: list[str] = found["errors"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        raise DataError(f"{errors[0]}{more}; all of it in {pages}/index.html")
    atomic.write_text(folder / "validation.json", _text(found))
    yield Report("validate", 1, 1, {"rules": len(found["rules"]), "warnings": len(found["warnings"])})


def examine(params: Params, faces: Path, rejects: Path | None, pages: Path) -> dict[str, Any]:
    """Every rule's finding, and a line for each that is broken: {"rules", "errors", "warnings"}.

    The pages take the place of older ones; the findings lie beside them.
    """
    classes = sources.classes(params.ingest)
    tables = facts.tables(faces, rejects, classes)
    judged = [rule for rule in rules(params, len(classes)) if rule.table in tables]
    with tempfile.TemporaryDirectory() as temporary:
        findings = judge(tables, judged, Path(temporary))
        shutil.rmtree(pages, ignore_errors=True)
        shutil.copytree(temporary, pages)
    lines = {
        f"{level}s": [one.line for one in findings if not one.success and one.level == level]
        for level in ("error", "warning")
    }
    found = {"rules": [asdict(one) for one in findings], **lines}
    atomic.write_text(pages / FINDINGS, _text(found))
    return found


def _text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def rules(params: Params, classes: int) -> list[Rule]:
    """What must hold: always what the pipeline itself relies on, then the params file's limits."""
    wants = params.validation
    size = wants.image_size
    bright = wants.brightness
    balance = wants.class_balance
    once = {"min_value": 1, "max_value": 1}
    fixed = [
        Rule("schema", "the columns are those of a face table", "ExpectColumnPairValuesToBeEqual",
             {"column_A": "found", "column_B": "expected"}, allowed="the type expected"),
        Rule("faces", "every label is a class", "ExpectColumnValuesToBeBetween",
             {"column": "label", "min_value": 0, "max_value": classes - 1}, allowed=f"0 to {classes - 1}"),
        Rule("faces", "every split is one of three", "ExpectColumnValuesToBeInSet",
             {"column": "split", "value_set": list(SPLITS)}, allowed=", ".join(SPLITS)),
        Rule("faces", "every label is a top vote", "ExpectColumnPairValuesToBeEqual",
             {"column_A": "label", "column_B": "top_vote"}, allowed="the class with most votes"),
        Rule("faces", "votes are shares", "ExpectColumnValuesToBeBetween",
             {"column": "votes", "min_value": 0.999, "max_value": 1.001}, allowed="a sum of 1"),
        Rule("faces", "no face is in two splits", "ExpectColumnValuesToBeBetween",
             {"column": "splits_of_id", **once}, allowed="1 split"),
    ]  # fmt: skip
    declared = [
        Rule("faces", "no subject is in two splits", "ExpectColumnValuesToBeBetween",
             {"column": "splits_of_subject", **once}, wants.subjects_disjoint.level, "1 split"),
        *(Rule("faces", f"the {side} of every image is as declared", "ExpectColumnValuesToBeInSet",
               {"column": side, "value_set": [getattr(size, side)]}, size.level, str(getattr(size, side)))
          for side in ("height", "width", "channels")),
        Rule("faces", "faces are neither black nor white", "ExpectColumnValuesToBeBetween",
             {"column": "brightness", "min_value": bright.low, "max_value": bright.high, "mostly": bright.share},
             bright.level, f"{bright.low:g} to {bright.high:g} for {bright.share:.1%} of faces"),
        Rule("splits", "few files are rejected", "ExpectColumnValuesToBeBetween",
             {"column": "reject_share", "max_value": wants.rejects.at_most}, wants.rejects.level,
             f"at most {wants.rejects.at_most:g}"),
        Rule("classes", "classes are balanced in train", "ExpectColumnValuesToBeBetween",
             {"column": "share_of_largest", "min_value": balance.smallest_over_largest},
             balance.level, f"at least {balance.smallest_over_largest:g} of the largest", "train"),
    ]  # fmt: skip
    for split in reversed(SPLITS):
        for table, what, limit in (
            ("classes", "enough faces of every class", wants.class_faces),
            ("splits", "enough faces", wants.split_faces),
        ):
            least = getattr(limit.at_least, split)
            declared.append(
                Rule(table, f"{what} in {split}", "ExpectColumnValuesToBeBetween",
                     {"column": "faces", "min_value": least}, limit.level, f"at least {least}", split)
            )  # fmt: skip
    return [*fixed, *declared]


NAMED_BY = {"schema": "column", "faces": "name", "splits": "split", "classes": "class"}  # what a row is called


def judge(tables: dict[str, pa.Table], judged: list[Rule], pages: Path) -> list[Finding]:
    """Let Great Expectations judge each table of facts, and write its Data Docs under `pages`."""
    import great_expectations as gx
    from great_expectations.checkpoint.actions import UpdateDataDocsAction
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(pages)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site: Any = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    context.add_data_docs_site("pages", site)
    source = context.data_sources.add_pandas("face table")
    findings: dict[int, Finding] = {}
    for name, table in tables.items():
        suite = context.suites.add(gx.ExpectationSuite(name=name))
        for number, rule in enumerate(judged):
            if rule.table == name:
                suite.add_expectation(_expectation(rule, number))
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        docs = UpdateDataDocsAction(name="pages", site_names=["pages"])
        checkpoint = gx.Checkpoint(name=name, validation_definitions=[definition], actions=[docs])
        done = context.checkpoints.add(checkpoint).run({"dataframe": table.to_pandas()})
        results: list[Any] = [one for suite_result in done.run_results.values() for one in suite_result.results]
        for one in results:
            number = one.expectation_config.meta["rule"]
            findings[number] = _finding(judged[number], one, table)
    return [findings[number] for number in sorted(findings)]


def _expectation(rule: Rule, number: int) -> Any:
    """The rule as Great Expectations' own object."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    where = {"row_condition": Column("split") == rule.only_split} if rule.only_split else {}
    severity = {"error": "critical", "warning": "warning"}[rule.level]
    kind = getattr(gxe, rule.expectation)
    return kind(**rule.limits, **where, severity=severity, description=rule.says, meta={"rule": number})


def _finding(rule: Rule, result: Any, table: pa.Table) -> Finding:
    if result.exception_info.get("exception_message"):
        raise RuntimeError(result.exception_info["exception_message"])
    found = result.result
    rows = [int(row) for row in found.get("partial_unexpected_index_list") or []]
    seen = f"{_plain(found['partial_unexpected_list'][0])} ({table[NAMED_BY[rule.table]][rows[0]]})" if rows else ""
    return Finding(
        table=rule.table,
        says=rule.says,
        expectation=result.expectation_config.type,
        level=rule.level,
        success=bool(result.success),
        broken=int(found["unexpected_count"]),
        rows=int(found["element_count"]),
        seen=seen,
        allowed=rule.allowed,
    )


def _plain(value: Any) -> str:
    """A value, or a pair of them, without the types it came in."""
    if isinstance(value, tuple | list):
        return " beside ".join(_plain(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
