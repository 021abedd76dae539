"""How time and memory of ingesting grow with the number of faces.

`python -m benchmarks.ingest --faces 10000 100000 1000000`. Faces are 48 x 48 greys of counter-based noise, generated as
they are read (`--from stream`), or lying as PNG files in the official FER+ layout, in a folder or in a zip. Each count
runs in a process of its own; memory is the highest resident set above that of a process that imported all and stopped.
A part of it is constant: two row groups of faces on their way. The slope between counts is what a face costs. Growth of
time is that of processor seconds, which other work on the machine lengthens less.
"""

import argparse
import csv
import datetime
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.machine import processor
from components.data import ferplus, sources, table
from components.data.archive import write_archive
from components.data.collected import one_hot
from components.data.images import encode
from components.records import Face

SIDE = 48
SHARES = {"test": 0.1, "valid": 0.1, "train": 0.8}
FOLDERS = {"test": "FER2013Test", "valid": "FER2013Valid", "train": "FER2013Train"}
CONFIG = ferplus.FerPlus(
    source="ferplus",
    size=SIDE,
    colour="grey",
    max_reject_share=0.0,
    splits="official",
    labels="majority",
    valid_share=0.1,
    train_limit=0,
)


def pixels(number: int) -> np.ndarray:
    """Noise of 16 greys, so that a face takes about as many bytes as a real one (1.7 kB)."""
    bits = np.random.Philox(key=1, counter=[0, 0, 0, number]).random_raw(SIDE * SIDE // 16).astype("<u8").view(np.uint8)
    return np.repeat(bits, 2)[: SIDE * SIDE].reshape(SIDE, SIDE) & np.uint8(0xF0)


def numbered(faces: int) -> Iterator[tuple[str, int, int]]:
    """Split, number within all and label of each face."""
    number = 0
    for split, share in SHARES.items():
        for label in range(round(faces * share)):
            yield split, number, label % len(ferplus.CLASSES)
            number += 1


def generated(faces: int) -> Iterator[Face]:
    for split, number, label in numbered(faces):
        name = f"{FOLDERS[split]}/fer{number:07d}.png"
        yield Face(pixels(number), label, one_hot(label, len(ferplus.CLASSES)), split, "", name)


def files(faces: int) -> Iterator[tuple[str, bytes]]:
    """The official FER+ layout, a label.csv after the faces of its folder."""
    rows: dict[str, io.StringIO] = {folder: io.StringIO() for folder in FOLDERS.values()}
    for split, number, label in numbered(faces):
        folder, name = FOLDERS[split], f"fer{number:07d}.png"
        votes = [10 * (emotion == label) for emotion in range(10)]
        csv.writer(rows[folder]).writerow([name, f"(0, 0, {SIDE}, {SIDE})", *votes])
        yield f"{folder}/{name}", encode(pixels(number))
    for folder, text in rows.items():
        yield f"{folder}/label.csv", text.getvalue().encode()


def plant(kind: str, faces: int, raw: Path) -> None:
    if kind == "zip":
        write_archive(raw, ((name.encode(), [data]) for name, data in files(faces)))
    elif kind == "folder":
        for folder in FOLDERS.values():
            (raw / folder).mkdir(parents=True)
        for name, data in files(faces):
            (raw / name).write_bytes(data)


def measure(kind: str, faces: int, raw: Path, out: Path) -> dict[str, float]:
    """Seconds and highest resident bytes of one ingest, in this process."""
    stream = generated(faces) if kind == "stream" else sources.read(CONFIG, raw)
    began, worked = time.perf_counter(), time.process_time()
    if faces:
        *_, counts = table.write(out / "faces.parquet", stream, ferplus.CLASSES, "ferplus")
        assert counts["test"] + counts["valid"] + counts["train"] == faces, counts
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def apart(arguments: list[str]) -> str:
    """What this program prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(kind: str, faces: int, folder: Path) -> dict[str, float]:
    raw, out = folder / "raw", folder / "out"
    if kind != "stream":
        # in a process of its own too: what stays of the making must not count
        apart(["--from", kind, "--plant", str(raw), "--faces", str(faces)])
    result = json.loads(apart(["--from", kind, "--measure", str(raw), str(out), "--faces", str(faces)]))
    for path in (raw, out):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return result


def exponent(counts: list[int], values: list[float]) -> float:
    """Of the power law through the points, by least squares of the logarithms."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


def machine() -> str:
    return f"{len(os.sched_getaffinity(0))} cores of {processor()}, Python {platform.python_version()}"


def report(kind: str, counts: list[int], where: Path | None) -> str:
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        floor = json.loads(apart(["--measure", scratch, scratch, "--faces", "0"]))["bytes"]
        results = {faces: run(kind, faces, Path(scratch)) for faces in counts}
    lines = [f"{datetime.date.today()}, {machine()}; faces from a {kind}; {floor / 2**20:.0f} MiB when imported"]
    lines.append(f"{'faces':>9} {'seconds':>9} {'cpu s':>9} {'faces/s':>9} {'MiB above':>10} {'bytes/face':>11}")
    extra = [max(result["bytes"] - floor, 1) for result in results.values()]
    for (faces, result), above in zip(results.items(), extra, strict=True):
        times = f"{result['seconds']:9.1f} {result['cpu_seconds']:9.1f} {faces / result['seconds']:9.0f}"
        lines.append(f"{faces:9d} {times} {above / 2**20:10.1f} {above / faces:11.0f}")
    if len(counts) > 1:
        seconds = [result["cpu_seconds"] for result in results.values()]
        slope = (extra[-1] - extra[0]) / (counts[-1] - counts[0])
        lines.append(
            f"growth: time faces^{exponent(counts, seconds):.2f}, memory faces^{exponent(counts, extra):.2f}; "
        )
        lines[-1] += f"from the first count to the last {slope:.0f} bytes of memory a face"
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--from", dest="kind", choices=["stream", "folder", "zip"], default="stream")
    parser.add_argument("--where", type=Path, help="a folder on a disk with room (3 GB for a million faces)")
    parser.add_argument("--plant", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plant:
        plant(given.kind, given.faces[0], given.plant)
    elif given.measure:
        sys.stdout.write(json.dumps(measure(given.kind, given.faces[0], *given.measure)))
    else:
        sys.stdout.write(report(given.kind, sorted(given.faces), given.where) + "\n")


if __name__ == "__main__":
    main()
