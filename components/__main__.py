"""`python -m components STAGE PARAMS --folder F --state S [--raw R]`: one stage, reports as JSON lines."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from components import atomic, experiment
from components.config import Config, ConfigError
from components.learning.training import DivergedError
from components.records import DataError, file_sha256

# what the stages that keep checkpoints read in --folder; the others leave nothing in --state
READ = {
    "train_prior": ("faces.parquet", "dark_valid.parquet"),
    "train_diffusion": ("faces.parquet", "dark_valid.parquet", "prior.safetensors", "best.json"),
    "train_baseline": ("faces.parquet", "dark_valid.parquet"),
}
# in --state: what a stage goes on from, and the stage 1 that stage 2 trains for itself
CHECKPOINTS = ("checkpoint*.safetensors", "prior/*.safetensors")
BELONGS_TO = "belongs_to.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components", description=__doc__)
    parser.add_argument("stage", choices=[name for name in experiment.STAGES if name not in experiment.NEED_AN_ENGINE])
    parser.add_argument("params", type=Path, help="the experiment's params file")
    parser.add_argument("--folder", type=Path, required=True, help="where inputs are and outputs go")
    parser.add_argument("--state", type=Path, required=True, help="where checkpoints are kept: of one stage and params")
    parser.add_argument("--raw", type=Path, default=Path(), help="the raw data, for ingest")
    given = parser.parse_args()
    try:
        params = experiment.given(experiment.load(given.params), given.stage)
        if given.stage in READ:
            claim(given.state, work(given.stage, params, given.folder))
        for report in experiment.STAGES[given.stage].run(params, given.raw, given.folder, given.state):
            sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")
            sys.stdout.flush()
    except (ConfigError, DataError, DivergedError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or given.folder}: {error.strerror or error}\n")
        return 1
    return 0


def work(stage: str, params: Config, folder: Path) -> dict[str, Any]:
    """What a checkpoint follows from: the stage, each section of its params, the digest of each file that it reads."""
    paths = {name: folder / name for name in READ[stage]}
    # of a file that is missing the stage says more than could be said here
    inputs = {name: file_sha256(path) for name, path in paths.items() if path.exists()}
    return {"stage": stage, **params.model_dump(mode="json"), **inputs}


def claim(state: Path, belongs_to: dict[str, Any]) -> None:
    """Leave in the state folder what it belongs to. Raises ConfigError where it holds a checkpoint of anything else:
    a stage would go on from there, or end at once, and its weights would not be those of its params.
    """
    held = _held(state / BELONGS_TO)
    if held != belongs_to and any(path for pattern in CHECKPOINTS for path in state.glob(pattern)):
        if "stage" not in held:
            nameless = f"holds a checkpoint and no {BELONGS_TO} that says of what"
            raise ConfigError(f"{state}: {nameless}: allowed is another --state")
        other = ", ".join(name for name in held | belongs_to if held.get(name) != belongs_to.get(name))
        held_here = f"holds a checkpoint of {held['stage']} that differs in {other}"
        raise ConfigError(f"{state}: {held_here}: allowed are the same params and inputs, or another --state")
    atomic.write_text(state / BELONGS_TO, json.dumps(belongs_to, indent=1, sort_keys=True) + "\n")


def _held(path: Path) -> dict[str, Any]:
    """What a state folder belongs to; nothing, where nothing readable says so."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


if __name__ == "__main__":
    sys.exit(main())
