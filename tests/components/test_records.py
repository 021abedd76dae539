"""Values that cross borders."""

import dataclasses
import hashlib

import pytest

from components.records import Artifact, Report, file_sha256


def test_an_artifact_knows_its_files_hash_and_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"faces" * 1000)
    artifact = Artifact.of(path, "runs/demo/file")
    assert artifact == Artifact("runs/demo/file", hashlib.sha256(b"faces" * 1000).hexdigest(), 5000)
    assert file_sha256(path) == artifact.sha256


def test_a_report_cannot_be_changed():
    report = Report("darken", 1, 12)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.step = 2
