"""`python -m components STAGE PARAMS --folder F --state S [--raw R]`: one stage, reports as JSON lines."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from components import experiment
from components.config import ConfigError
from components.learning.training import DivergedError
from components.records import DataError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components", description=__doc__)
    parser.add_argument("stage", choices=[name for name in experiment.STAGES if name not in experiment.NEED_AN_ENGINE])
    parser.add_argument("params", type=Path, help="the experiment's params file")
    parser.add_argument("--folder", type=Path, required=True, help="where inputs are and outputs go")
    parser.add_argument("--state", type=Path, required=True, help="where checkpoints are kept")
    parser.add_argument("--raw", type=Path, default=Path(), help="the raw data, for ingest")
    given = parser.parse_args()
    try:
        params = experiment.given(experiment.load(given.params), given.stage)
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


if __name__ == "__main__":
    sys.exit(main())
