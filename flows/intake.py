"""`lldif data add`: raw data comes under DVC, and the experiments it can serve become live."""

import shutil
import zipfile
from pathlib import Path

import yaml

from components import atomic
from components.config import ConfigError
from components.data.sources import FerPlus, FerPlusTree, folders_needed
from components.experiment import load
from components.records import DataError
from flows import project, versioning
from flows.project import ROOT, Failed

HEADER = "# The experiments whose data is in this clone. `lldif data add` adds to it.\n"


def add_ferplus(path: Path) -> dict[str, list[str]]:
    """Take official FER+ folders, or a zip of them, into data/ferplus.zip.

    Returns the experiments that are live now, and those that wait for a folder that is not there. Raises Failed, with
    nothing changed, where the data is not in its official form.
    """
    try:
        tree = FerPlusTree.open(path)
        for folder in sorted(tree.folders):
            name, _ = next(tree.majority(folder))
            tree.pixels(folder, name)
    except (DataError, StopIteration) as error:
        raise Failed(str(error) or f"{path}: no labelled face in it", "data") from None
    data = ROOT / "data" / "ferplus.zip"
    try:
        with atomic.replacing(data) as temporary:
            if path.is_dir():
                pack(tree, temporary)
            else:
                shutil.copyfile(path, temporary)
    except OSError as error:
        raise Failed(f"data/ferplus.zip: {error.strerror or error}", "infrastructure") from None
    versioning.add(data)
    live, waiting = served(set(tree.folders))
    make_live(live, "data/ferplus.zip")
    return {"live": live, "waiting": waiting}


def pack(tree: FerPlusTree, out: Path) -> None:
    """One zip of the FER+ folders, the same bytes for the same files: many small files are slow everywhere."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for folder, where in sorted(tree.folders.items()):
            for file in sorted((tree.raw / where).iterdir()):
                if file.is_file():
                    archive.writestr(zipfile.ZipInfo(f"{folder}/{file.name}"), file.read_bytes())


def served(folders: set[str]) -> tuple[list[str], list[str]]:
    """The FER+ experiments that these folders suffice for, and the others."""
    live: list[str] = []
    waiting: list[str] = []
    for path in sorted((ROOT / "params").glob("*.yaml")):
        if path.stem == "live":
            continue
        try:
            config = load(path).ingest
        except ConfigError as error:
            raise Failed(str(error).replace(f"{ROOT}/", ""), "config") from None
        if isinstance(config, FerPlus):
            (live if folders_needed(config) <= folders else waiting).append(path.stem)
    return live, waiting


def make_live(experiments: list[str], raw: str) -> None:
    content = project.live() | {name: {"raw": raw} for name in experiments}
    atomic.write_text(ROOT / "params" / "live.yaml", HEADER + yaml.safe_dump({"live": content}, sort_keys=False))
