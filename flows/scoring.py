"""A registered model in a process of its own: commands in, answers out, one JSON line each.

Run as a script in isolated mode, so that the only `components` it can import are the model's own.
Commands: {"predict": TABLE, "out": FILE} and {"latency": FACES, "table": TABLE}.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq

ROWS_AT_ONCE = 1024


def main(uri: str) -> None:
    model = mlflow.pyfunc.load_model(uri)
    _say({"components": sys.modules["components"].__file__})
    for line in sys.stdin:
        command = json.loads(line)
        if "predict" in command:
            _say(predict(model, Path(command["predict"]), Path(command["out"])))
        else:
            _say(latency(model, Path(command["table"]), command["latency"]))


def predict(model: Any, table: Path, out: Path) -> dict[str, Any]:
    """All rows of a table of dark faces: id, exposure, label, votes and the probabilities, as Parquet."""
    parts = []
    for batch in pq.ParquetFile(table).iter_batches(ROWS_AT_ONCE):
        rows = batch.to_pandas()
        answers = model.predict(rows[["image"]])
        probabilities = answers.drop(columns="label").to_numpy().tolist()
        parts.append(rows[["id", "exposure", "label", "votes"]].assign(probabilities=probabilities))
    whole = pd.concat(parts, ignore_index=True)
    whole.insert(0, "model", "served")
    whole.to_parquet(out, index=False)
    return {"rows": len(whole)}


def latency(model: Any, table: Path, faces: int) -> dict[str, Any]:
    """Milliseconds for one face alone, for each of them."""
    rows = next(pq.ParquetFile(table).iter_batches(faces)).to_pandas()[["image"]]
    seconds = []
    for index in range(len(rows)):
        began = time.perf_counter()
        model.predict(rows.iloc[index : index + 1])
        seconds.append(time.perf_counter() - began)
    return {"milliseconds": [1000 * one for one in seconds]}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
