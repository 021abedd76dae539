"""fer2013.csv and fer2013new.csv, as Kaggle and FER+ published them, to the official FER+ folders.

fer2013.csv has a row of pixels for each face; fer2013new.csv has, in the same order, the file's name and the votes of
ten people. A face without a name was removed by the authors of FER+ (Barsoum et al. 2016, arXiv 1608.01041).
"""

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.data.archive import escaped, leads_out, write_archive
from components.data.images import encode
from components.data.tree import Tree
from components.records import DataError

FILES = ("fer2013.csv", "fer2013new.csv")
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
SIDE = 48
BOX = f"(0, 0, {SIDE}, {SIDE})"


def find(tree: Tree) -> tuple[str, str] | None:
    """Where in a tree the two files are, None where they are not."""
    paths = [path for path in tree.walk() if path.rpartition("/")[2] in FILES]
    return (paths[0], paths[1]) if [path.rpartition("/")[2] for path in paths] == list(FILES) else None


def write_folders(tree: Tree, files: tuple[str, str], out: Path) -> None:
    """A zip of the official folders. Pixels that are none stay as they are, for whoever reads the zip to reject.

    Raises DataError where the two files do not belong together, OSError where the zip cannot be written.
    """
    labels: dict[str, bytearray] = {}
    named: set[tuple[str, str]] = set()

    def members() -> Iterator[tuple[bytes, list[bytes]]]:
        for folder, name, pixels, votes in _rows(tree, files):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow([name, BOX, *votes])
            labels.setdefault(folder, bytearray()).extend(text.getvalue().encode("utf-8", "surrogateescape"))
            if (folder, name) not in named:  # a second row of that name stays in the labels, to be rejected there
                named.add((folder, name))
                yield f"{folder}/{name}".encode("utf-8", "surrogateescape"), [_picture(pixels)]
        for folder, content in labels.items():
            yield f"{folder}/label.csv".encode(), [bytes(content)]

    write_archive(out, members())


def _rows(tree: Tree, files: tuple[str, str]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Folder, file name, pixels and votes of each face that has a name."""
    faces, names = (filter(None, tree.lines(path)) for path in files)
    if not next(faces, "").startswith("emotion,pixels,Usage") or not next(names, "").startswith("Usage,Image name,"):
        raise DataError(f"{tree.raw}: {' or '.join(FILES)}: the first line is not that of the published file")
    for line, (face, named) in enumerate(itertools.zip_longest(faces, names), 2):
        where = f"{tree.raw}: {' and '.join(FILES)}, line {line}"
        if face is None or named is None:
            raise DataError(f"{where}: one of the files ends here: allowed are as many rows in both")
        cells, (_, pixels, usage) = _cells(named), [*_cells(face), "", ""][:3]
        if usage not in FOLDERS or cells[0] != usage:
            raise DataError(f"{where}: Usage {escaped(usage)!r} and {escaped(cells[0])!r}: allowed is the same in both")
        name, votes = (cells[1].strip() if len(cells) > 1 else ""), cells[2:]
        if "/" in name or name == "label.csv" or (name and leads_out(name.encode("utf-8", "surrogateescape"))):
            raise DataError(f"{where}: image name {escaped(name)}: allowed is a plain file name")
        if name:
            yield FOLDERS[usage], name, pixels, votes


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return [""]


def _picture(pixels: str) -> bytes:
    try:
        values = np.array([int(value) for value in pixels.split()], dtype=np.uint8)
        return encode(values.reshape(SIDE, SIDE))
    except (ValueError, OverflowError):
        return pixels.encode("utf-8", "surrogateescape")
