"""A registered model in a process of its own: commands in, answers out, one JSON line each.

Run as a script in isolated mode, so that the only `components` it can import are the model's own. It says where the
model's files are, loads it, and says so. Commands: {"predict": TABLE, "out": FILE}, {"cost": FACES, "table": TABLE}
and {"reproduce": true}.
"""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

ROWS_AT_ONCE = 1024


def main(uri: str, folder: str) -> None:
    place = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    _say({"files": str(place)})
    model = mlflow.pyfunc.load_model(str(place))
    _say({"components": sys.modules["components"].__file__})
    for line in sys.stdin:
        command = json.loads(line)
        if "predict" in command:
            _say(predict(model, Path(command["predict"]), Path(command["out"])))
        elif "cost" in command:
            _say(cost(model, Path(command["table"]), command["cost"]))
        else:
            _say(reproduce(model, place / "artifacts" / "recorded.parquet"))


def predict(model: Any, table: Path, out: Path) -> dict[str, Any]:
    """All rows of a table of dark faces: id, exposure, label, votes and the probabilities, as Parquet."""
    parts = []
    for batch in pq.ParquetFile(table).iter_batches(ROWS_AT_ONCE):
        rows = batch.to_pandas()
        parts.append(rows.drop(columns="image").assign(probabilities=_answers(model, rows).tolist()))
    whole = pd.concat(parts, ignore_index=True)
    whole.to_parquet(out, index=False)
    return {"rows": len(whole)}


def cost(model: Any, table: Path, faces: int) -> dict[str, Any]:
    """The 95th percentile of milliseconds for one face alone, and how many faces a second together."""
    rows = next(pq.ParquetFile(table).iter_batches(faces)).to_pandas()[["image"]]
    seconds = []
    for index in range(len(rows)):
        began = time.perf_counter()
        model.predict(rows.iloc[index : index + 1])
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    model.predict(rows)
    together = len(rows) / (time.perf_counter() - began)
    p95 = 1000 * float(np.percentile(seconds, 95))
    return {"device": device(), "p95_milliseconds": p95, "faces_per_second": together}


def device() -> str:
    """The processor that answers, by the name its maker gave it."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def reproduce(model: Any, recorded: Path) -> dict[str, Any]:
    """The greatest distance from the probabilities that were recorded with the model; null where none were."""
    if not recorded.exists():
        return {"difference": None}
    rows = pq.read_table(recorded).to_pandas()
    known = np.stack(rows["probabilities"].to_list())
    return {"difference": float(np.abs(_answers(model, rows) - known).max())}


def _answers(model: Any, rows: pd.DataFrame) -> Any:
    """(N, K) probabilities."""
    return model.predict(rows[["image"]]).drop(columns="label").to_numpy()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
