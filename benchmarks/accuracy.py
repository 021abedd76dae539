"""How well each method reads faces in the dark, on equal terms: the same faces, as many of them, the same seeds.

    python -m benchmarks.accuracy ferplus-dev --raw PATH --methods lldif,plain --seeds 2 --epochs 24 \\
        --workers 2 --threads 1 --out benchmarks/results/NAME.jsonl

Each run adds a JSON line to --out; a run that has its line is not run again, and a killed one goes on from its
checkpoint. Needs components alone (and the packages that they need), on a CPU or a GPU.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.comparison import methods, report, runs
from benchmarks.comparison.jobs import Arena, prepare, say
from benchmarks.comparison.methods import overridden
from components import atomic
from components.config import ConfigError, read_yaml
from components.learning.compute import device
from components.records import DataError

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT = REPOSITORY / "state" / "accuracy"


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        return compare(given)
    except (ConfigError, DataError) as error:
        say(str(error))
        return 2


def parser() -> argparse.ArgumentParser:
    what = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what.add_argument("experiment", help="a name in params/, or the path of a params file")
    what.add_argument("--raw", type=Path, metavar="PATH", help="the raw data, unless it is drawn")
    what.add_argument("--methods", default="peers", metavar="NAMES", help="names or groups of them; see --list")
    what.add_argument("--report", action="store_true", help="only the table and the figure of the lines there are")
    what.add_argument("--list", action="store_true", help="say what methods there are, and do nothing else")
    what.add_argument("--seeds", type=int, default=2, metavar="N")
    what.add_argument("--epochs", type=int, default=24, metavar="N", help="of every method, its stages together")
    what.add_argument("--split", choices=("valid", "test"), default="valid", help="which faces are judged")
    what.add_argument(
        "--workers", type=int, default=0, metavar="N", help="runs at a time; else a core each, or one GPU"
    )
    what.add_argument("--threads", type=int, default=1, metavar="N", help="of each run")
    what.add_argument("--out", type=Path, default=ROOT / "lines.jsonl", metavar="JSONL")
    what.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="for data, checkpoints, predictions")
    return what


def compare(given: argparse.Namespace) -> int:
    wanted = methods.chosen(given.methods)
    if given.list:
        for method in methods.GROUPS["all"]:
            print(f"{method.name:24}{method.says}")
        return 0
    if given.report:
        return show(given.out, given.root)
    path = Path(given.experiment)
    path = path if path.suffix == ".yaml" else REPOSITORY / "params" / f"{given.experiment}.yaml"
    content = overridden(read_yaml(path), {"compute.threads": given.threads})
    data = prepare(path.name, content, given.raw, given.root)
    arena = Arena(path.stem, content, given.split, data, given.root)
    jobs = [arena.job(method, seed, given.epochs) for seed in range(1, given.seeds + 1) for method in wanted]
    workers = given.workers or (1 if device().type == "cuda" else os.cpu_count() or 1)
    failures = runs.run(jobs, given.out, min(workers, len(jobs)))
    for failure in failures:
        say(failure)
    return show(given.out, given.root) or (1 if failures else 0)


def show(out: Path, root: Path) -> int:
    """The table on standard output, the figure beside the lines."""
    found = runs.lines(out)
    if not found:
        say(f"{out}: holds no run yet")
        return 1
    print(report.markdown(found, root), end="")
    atomic.write_text(out.with_suffix(".svg"), report.figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
