"""Where trials keep what a resume needs: a folder, or a bucket that every node of a cluster reaches."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.records import DataError

VARIABLE = "LLDIF_SWEEP_STORAGE"  # s3://bucket/prefix, or a folder that all nodes share; none: the sweep's own state


@dataclass(frozen=True)
class Place:
    """A folder of a file system; it travels to whichever node a trial runs on."""

    filesystem: Any  # pyarrow.fs.FileSystem
    folder: str

    @classmethod
    def of(cls, state: Path) -> "Place":
        """In `state`, or where LLDIF_SWEEP_STORAGE says, under the state's fingerprint."""
        from pyarrow import fs

        named = os.environ.get(VARIABLE, "")
        if not named:
            return cls(fs.LocalFileSystem(), str(state))
        if named.startswith("s3://"):
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            scheme, _, host = (endpoint or "").rpartition("://")
            only = {"endpoint_override": host, "scheme": scheme or "https"} if endpoint else {}
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            filesystem = fs.S3FileSystem(**only, **({"region": region} if region else {}))
            return cls(filesystem, f"{named.removeprefix('s3://').rstrip('/')}/{state.name}")
        if "://" in named or not Path(named).is_absolute():
            raise DataError(f"{VARIABLE}: {named}: allowed are s3://bucket/prefix and an absolute path")
        return cls(fs.LocalFileSystem(), str(Path(named) / state.name))

    def at(self, name: str) -> "Place":
        return Place(self.filesystem, f"{self.folder}/{name}")

    def fetch(self, folder: Path) -> None:
        """Copy all that is kept here into a folder of this machine."""
        from pyarrow import fs

        selector = fs.FileSelector(self.folder, recursive=True, allow_not_found=True)
        for file in self.filesystem.get_file_info(selector):
            if file.type == fs.FileType.File and not file.base_name.startswith("."):
                to = folder / file.path.removeprefix(f"{self.folder}/")
                to.parent.mkdir(parents=True, exist_ok=True)
                self._copy(file.path, str(to), self.filesystem, fs.LocalFileSystem())

    def keep(self, path: Path, name: str) -> None:
        """Copy a file of this machine here: it appears whole or not at all."""
        from pyarrow import fs

        whole = f"{self.folder}/{name}"
        parent, _, last = whole.rpartition("/")
        # two writers are possible: a worker may outlive its driver by a moment
        draft = f"{parent}/.{last}.{uuid.uuid4().hex}"
        if isinstance(self.filesystem, fs.LocalFileSystem):
            Path(parent).mkdir(parents=True, exist_ok=True)
            self._copy(str(path), draft, fs.LocalFileSystem(), self.filesystem)
            self.filesystem.move(draft, whole)
        else:  # an object is there when its upload has ended, and not before
            self._copy(str(path), whole, fs.LocalFileSystem(), self.filesystem)

    def remove(self) -> None:
        """All that is kept here."""
        from pyarrow import fs

        if self.filesystem.get_file_info(self.folder).type == fs.FileType.Directory:
            self.filesystem.delete_dir(self.folder)

    @staticmethod
    def _copy(source: str, destination: str, origin: Any, target: Any) -> None:
        from pyarrow import fs

        fs.copy_files(source, destination, source_filesystem=origin, destination_filesystem=target)
