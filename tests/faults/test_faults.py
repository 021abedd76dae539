"""What goes wrong is said in one line, and the champion stays where it was."""

import shutil
from pathlib import Path

import pytest
from clones import COMMANDS, Clone


def one_line(done) -> str:
    """Standard error's only line that is not a stage's progress."""
    lines = [line for line in done.stderr.splitlines() if "@demo" not in line or line.startswith("lldif: ")]
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0]


def change(clone: Clone) -> None:
    """Something to do: a candidate that would be new."""
    content = clone.params()
    content["train_diffusion"]["epochs"] += 1
    clone.set_params(content)


@pytest.mark.parametrize(
    ("section", "key", "value", "line"),
    [
        (
            "train_diffusion",
            "epoks",
            3,
            "params/demo.yaml: train_diffusion.epoks: unknown key: allowed is epochs, ",
        ),
        ("batches", "size", "many", "params/demo.yaml: batches.size: Input should be a valid integer"),
        (
            "ingest",
            "source",
            "faces",
            "params/demo.yaml: ingest: Input tag 'faces' found using 'source' does not match",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "stage train_diffusion"])
def test_a_wrong_params_file(clone: Clone, section: str, key: str, value: object, line: str, command: str):
    content = clone.params()
    content[section][key] = value
    clone.set_params(content)
    done = clone.run("lldif", *command.split(), "demo", code=2)
    assert one_line(done).startswith(f"lldif: {line}")
    assert clone.champion() == 1


def test_a_wrong_policy(clone: Clone):
    policy = clone.path / "mlflow.yaml"
    policy.write_text(policy.read_text().replace("margin:", "margine:"))
    done = clone.run("lldif", "run", "demo", code=2)
    assert (
        one_line(done)
        == "lldif: mlflow.yaml: gates.declared.1.margine: unknown key: allowed is name, exposures, confidence, "
        "minimum_faces, on_inconclusive, metric, slice, kind, margin, test"
    )


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_corrupted_table(clone: Clone, damage: str):
    change(clone)
    table = clone.path / "runs" / "demo" / "faces.parquet"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 0xFF
    table.write_bytes({"cut": content[:-50], "flip": content, "empty": b"", "text": b"no table"}[damage])
    done = clone.run("lldif", "stage", "train_diffusion", "demo", code=1)
    assert "faces.parquet: " in one_line(done)
    assert clone.champion() == 1


def test_a_corrupted_table_is_made_again_by_a_run(clone: Clone):
    table = clone.path / "runs" / "demo" / "faces.parquet"
    good = table.read_bytes()
    table.write_bytes(good[:-50])
    assert clone.answer("lldif", "run", "demo", "--json")["version"] == 1
    assert table.read_bytes() == good


def test_no_room_on_the_disk(clone: Clone):
    """A file larger than the limit is refused by the kernel as a full disk would refuse it."""
    change(clone)
    shutil.rmtree(clone.path / "state")
    command = f"ulimit -f 40; exec {COMMANDS}/lldif stage train_diffusion demo"
    import subprocess

    done = subprocess.run(
        ["bash", "-c", command], cwd=clone.path, env=clone.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "File too large" in one_line(done)
    left = [path.name for path in (clone.path / "runs" / "demo").iterdir()]
    assert not [name for name in left if name.endswith(".tmp")]
    assert clone.champion() == 1
    clone.run("lldif", "stage", "train_diffusion", "demo")  # with room, it goes through


def test_a_registered_model_that_does_not_load_is_not_promoted(clone: Clone, tmp_path: Path):
    """The champion's artefact is damaged: nothing can be compared, so nothing is promoted."""
    change(clone)
    finished = next(Path(line) for line in _weights_of_champion(clone))
    content = finished.read_bytes()
    try:
        finished.write_bytes(content[:100])
        done = clone.run("lldif", "run", "demo", code=1)
        assert "lldif: lldif-demo version 1 does not load" in done.stderr.splitlines()[-1]
        assert clone.champion() == 1
    finally:
        finished.write_bytes(content)


def _weights_of_champion(clone: Clone) -> list[str]:
    from mlflow import MlflowClient

    version = MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}").get_model_version("lldif-demo", "1")
    run = MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}").get_run(version.run_id)
    root = Path(run.info.artifact_uri.removeprefix("file://")).parent.parent
    return [str(path) for path in root.rglob("lldif.safetensors")]


def test_not_live_not_known_and_no_argument(empty_clone: Clone):
    assert "ferplus is not live" in one_line(empty_clone.run("lldif", "run", "ferplus", code=2))
    assert "no params file" in one_line(empty_clone.run("lldif", "run", "nothing", code=2))
    assert "no stage nonsense" in one_line(empty_clone.run("lldif", "stage", "nonsense", "demo", code=2))
    empty_clone.run("lldif", "run", code=2)
    empty_clone.run("lldif", "nonsense", code=2)
