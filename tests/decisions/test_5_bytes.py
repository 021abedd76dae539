"""Decision 5: outputs hold figures and weights, nothing of the run that made them."""

import json
import re
import struct
from pathlib import Path

import pyarrow.parquet as pq
import yaml

RUN = "runs/demo"


def stages(clone):
    """The names of each stage's outputs, as dvc.yaml declares them."""
    for stage in yaml.safe_load((clone.path / "dvc.yaml").read_text())["stages"].values():
        entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage["do"].get(kind, [])]
        yield [Path(entry if isinstance(entry, str) else next(iter(entry))).name for entry in entries]


def outputs(clone):
    return [path for path in (clone.path / RUN).iterdir() if path.name != ".gitignore"]


def test_no_output_names_a_place_a_time_or_a_run(finished):
    clone, _ = finished
    state = [path.name for path in (clone.path / "state").iterdir() if len(path.name) == 64]
    declared = {output for spec in stages(clone) for output in spec}
    assert {path.name for path in outputs(clone)} == declared
    for path in outputs(clone):
        content = path.read_bytes()
        for word in (str(clone.path).encode(), b"/home/", b"/root/", b"/tmp/", *(name.encode() for name in state)):
            assert word not in content, (path, word)
        if path.suffix == ".json":
            assert not re.search(r"seconds|time|20\d\d-\d\d-\d\d", content.decode())


def test_no_output_is_a_picture(finished):
    assert {path.suffix for path in outputs(finished[0])} == {".parquet", ".safetensors", ".json"}


def test_weights_carry_one_key_of_sorted_json(finished):
    clone, _ = finished
    for path in (clone.path / RUN).glob("*.safetensors"):
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        assert list(metadata) == ["lldif"]
        assert metadata["lldif"] == json.dumps(json.loads(metadata["lldif"]), sort_keys=True)


def test_tables_have_fixed_row_groups_and_no_pandas_metadata(finished):
    clone, _ = finished
    for path in (clone.path / RUN).glob("*.parquet"):
        table = pq.ParquetFile(path)
        assert b"pandas" not in (table.schema_arrow.metadata or {})
        for number in range(table.num_row_groups):  # a table of rejects may have none
            assert table.metadata.row_group(number).column(0).compression == "ZSTD"
            assert table.metadata.row_group(number).num_rows <= 2048
