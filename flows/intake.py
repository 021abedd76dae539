"""`lldif data add`: raw data comes under DVC, and the experiments it can serve become live."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from components import atomic
from components.config import ConfigError
from components.data import fer2013, ferplus, parquet, sources
from components.data.archive import UnreadableError, escaped, write_archive
from components.data.ferplus import FerPlus
from components.data.sources import Source
from components.data.tree import Tree, open_tree
from components.experiment import load
from components.records import DataError, Face
from flows import project, versioning
from flows.project import ROOT, Failed

HEADER = "# The experiments whose data is in this clone. `lldif data add` adds to it.\n"


def add_official(source: str, path: Path) -> dict[str, list[str]]:
    """Take a published data set ("ferplus", "rafdb", "kdef"), a folder or a zip, into data/SOURCE.zip.

    Returns the experiments that are live now, and those that wait for a folder that is not there. Raises Failed, with
    nothing changed, where the data is not in its official form.
    """
    configs = {name: config for name, config in experiments().items() if config.source == source}
    data = ROOT / "data" / f"{source}.zip"
    with _one_line(data, path), atomic.replacing(data) as temporary:
        _take(source, path, temporary)
        live, waiting = served(configs, temporary)
        for name in live:
            check(configs[name], temporary)
    versioning.add(data)
    make_live(live, f"data/{source}.zip")
    return {"live": live, "waiting": waiting}


def add_own(source: str, experiment: str, path: Path) -> dict[str, list[str]]:
    """Take data of one's own ("folder": a tree or a zip, "parquet": shards) for the experiment that describes it.

    Raises Failed, with nothing changed, where the experiment has another source or the data is not as it says.
    """
    config = experiments().get(experiment)
    if config is None or config.source != source:
        found = f"its source is {config.source}" if config else "there is no such file"
        raise Failed(f"params/{experiment}.yaml: {found}: allowed is one with source {source}", "config")
    data = ROOT / "data" / (experiment if source == "parquet" else f"{experiment}.zip")
    with _one_line(data, path):
        if isinstance(config, parquet.Parquet):
            check(config, path)
            copy_shards(config, path, data)
        else:
            with atomic.replacing(data) as temporary:
                _take(source, path, temporary)
                check(config, temporary)
    versioning.add(data)
    make_live([experiment], str(data.relative_to(ROOT)))
    return {"live": [experiment], "waiting": []}


@contextmanager
def _one_line(data: Path, given: Path) -> Iterator[None]:
    """What goes wrong, in terms of what was given and not of our copy of it."""
    try:
        yield
    except (DataError, OSError) as error:
        with suppress(OSError):  # it stays where it holds anything
            data.parent.rmdir()
        if isinstance(error, OSError):
            raise Failed(f"{data.relative_to(ROOT)}: {error.strerror or error}", "infrastructure") from None
        raise Failed(str(error).replace(str(data.with_name(f".{data.name}.tmp")), str(given)), "data") from None


def _take(source: str, path: Path, out: Path) -> None:
    """One zip of what was given: many small files are slow everywhere. Raises DataError, OSError."""
    tree = open_tree(path)
    csvs = fer2013.find(tree) if source == "ferplus" else None
    if csvs:
        fer2013.write_folders(tree, csvs, out)
    elif not path.is_dir():
        shutil.copyfile(path, out)
    else:
        names = tree.walk()
        if source == "ferplus":
            folders = ferplus.open_folders(path).folders
            names = (name for where in sorted(folders.values()) for name in tree.walk(where))
        write_archive(out, ((name.encode("utf-8", "surrogateescape"), _pieces(tree, name)) for name in names))


def _pieces(tree: Tree, name: str) -> Iterator[bytes]:
    try:
        yield from tree.chunks(name)
    except UnreadableError as error:
        raise DataError(f"{tree.raw}: {escaped(name)}: {error}") from None


def check(config: Source, raw: Path) -> None:
    """Raises DataError where the layout is wrong or not one face can be read."""
    sources.expected_faces(config, raw)
    if not any(isinstance(face, Face) for face in sources.read(config, raw)):
        raise DataError(f"{raw}: no labelled face in it")


def copy_shards(config: parquet.Parquet, path: Path, data: Path) -> None:
    """The shards in one folder, which takes its name when all are there. Raises OSError."""
    temporary = data.with_name(f".{data.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for shard in parquet.shards(config, path):
            shutil.copyfile(shard.path, temporary / shard.path.name)
        shutil.rmtree(data, ignore_errors=True)
        temporary.replace(data)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def experiments() -> dict[str, Source]:
    """What the params file of each experiment says of its source. Raises Failed."""
    found: dict[str, Source] = {}
    for path in sorted((ROOT / "params").glob("*.yaml")):
        if path.stem == "live":
            continue
        try:
            found[path.stem] = load(path).ingest
        except ConfigError as error:
            raise Failed(str(error).replace(f"{ROOT}/", ""), "config") from None
    return found


def served(configs: dict[str, Source], raw: Path) -> tuple[list[str], list[str]]:
    """The experiments whose folders are there, and the others: of the data sets, FER+ alone comes in parts."""
    is_ferplus = any(isinstance(config, FerPlus) for config in configs.values())
    folders = set(ferplus.open_folders(raw).folders) if is_ferplus else set()
    live: list[str] = []
    waiting: list[str] = []
    for name, config in configs.items():
        suffices = not isinstance(config, FerPlus) or ferplus.folders_needed(config) <= folders
        (live if suffices else waiting).append(name)
    return live, waiting


def make_live(experiments: list[str], raw: str) -> None:
    content = project.live() | {name: {"raw": raw} for name in experiments}
    atomic.write_text(ROOT / "params" / "live.yaml", HEADER + yaml.safe_dump({"live": content}, sort_keys=False))
