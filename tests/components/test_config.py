"""Config files: what is not allowed is one line that names file, key and what is."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import experiment
from components.config import Config, ConfigError, parse, read_yaml

PARAMS = Path(__file__).resolve().parents[2] / "params"
DEMO = yaml.safe_load((PARAMS / "demo.yaml").read_text(encoding="utf-8"))
MISSING = object()


def changed(key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(DEMO)
    *path, last = key.split(".")
    section = content
    for part in path:
        section = section[part]
    if value is MISSING:
        del section[last]
    else:
        section[last] = value
    return content


def complaint(path: Path) -> str:
    """What is said of a file, without its name."""
    with pytest.raises(ConfigError) as caught:
        experiment.load(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


def complaint_about(tmp_path: Path, key: str, value: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed(key, value)), encoding="utf-8")
    return complaint(path)


@pytest.mark.parametrize("path", [p for p in sorted(PARAMS.glob("*.yaml")) if p.stem != "live"], ids=lambda p: p.stem)
def test_every_experiment_in_the_repository_loads_and_says_what_it_is_for(path):
    loaded = experiment.load(path)
    assert loaded.model_dump(mode="json") == yaml.safe_load(path.read_text(encoding="utf-8"))
    assert path.read_text(encoding="utf-8").startswith(f"# {path.stem}: ")


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("extra", "allowed is .*camera.*ingest"),
        ("camera.iso", "allowed is full_well_electrons, read_noise_electrons, .*jpeg_chroma_halved$"),
        ("model.llformer.presett", "allowed is preset, modulation, landmarks, images, drop_path$"),
        (
            "train_prior.loss.kl",
            "allowed is clean_share, contrastive_weight, .*, reconstruction_weight$",
        ),
        ("ingest.path", "allowed is source, seed, train, valid, test$"),
    ],
)
def test_an_unknown_key_is_told_which_keys_there_are(tmp_path, key, allowed):
    assert re.search(f"^{re.escape(key)}: unknown key: {allowed}", complaint_about(tmp_path, key, 1))


def test_a_misspelt_key_is_named_rather_than_the_one_it_leaves_missing(tmp_path):
    content = changed("camera.gain_cap", MISSING)
    content["camera"]["gain_cep"] = 64
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    assert complaint(tmp_path / "mine.yaml").startswith("camera.gain_cep: unknown key")


@pytest.mark.parametrize(
    "key", ["camera", "compute.seed", "model.prior.channels", "ingest.seed", "train_diffusion.loss"]
)
def test_a_missing_key_is_named(tmp_path, key):
    assert complaint_about(tmp_path, key, MISSING) == f"{key}: Field required"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("compute.seed", "1", "valid integer"),
        ("compute.seed", 1.0, "valid integer"),
        ("compute.seed", True, "valid integer"),
        ("compute.seed", None, "valid integer"),
        ("compute", [1], "should be an object"),
        ("camera.gain_cap", "much", "valid number"),
        ("batches.flip", 1, "valid boolean"),
        ("batches.flip", "yes", "valid boolean"),
        ("darken.exposures", 0.2, "valid array"),
        ("model.prior.prompt", 5, "valid string"),
    ],
)
def test_a_wrong_type_is_told_which_is_right_and_nothing_is_bent(tmp_path, key, value, allowed):
    line = complaint_about(tmp_path, key, value)
    assert line.startswith(f"{key}: Input should be")
    assert allowed in line


def test_an_item_of_a_list_is_named_by_its_place(tmp_path):
    line = complaint_about(tmp_path, "darken.exposures", [1.0, 0.2, "dark"])
    assert line.startswith("darken.exposures.2: Input should be a valid number")


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("compute.seed", -1, "greater than or equal to 0"),
        ("compute.threads", 0, "greater than or equal to 1"),
        ("compute.precision", "float16", "'auto', 'float32' or 'bfloat16'"),
        ("camera.adc_bits", 20, "less than or equal to 16"),
        ("camera.full_well_electrons", 0, "greater than 0"),
        ("camera.read_noise_electrons", float("nan"), "finite number"),
        ("camera.colour", "grey", "'mosaic' or 'planes'"),
        ("batches.clean_share", 1.5, "less than or equal to 1"),
        ("batches.exposure_low", 0.0, "greater than 0"),
        ("darken.exposures", [], "at least 1 item"),
        ("model.llformer.preset", "huge", "'tiny'"),
        ("model.llformer.drop_path", 1.0, "less than 1"),
        ("model.prior.prompt", "a face", "label"),
        ("ingest.source", "kaggle", "'embedded', 'ferplus'"),
        ("ingest.train", 0, "greater than or equal to 1"),
        ("optim.warmup_share", 1.0, "less than 1"),
        ("diffusion.steps", 65, "less than or equal to 64"),
    ],
)
def test_a_value_out_of_range_is_told_the_range(tmp_path, key, value, allowed):
    line = complaint_about(tmp_path, key, value)
    assert line.startswith(f"{key.removesuffix('.source')}: ")
    assert allowed in line


def test_a_file_that_is_not_there_is_told_which_experiments_are(tmp_path):
    for name in ("one", "two", "live"):
        (tmp_path / f"{name}.yaml").touch()
    assert complaint(tmp_path / "three.yaml") == "no such file: there is one, two"


@pytest.mark.parametrize("content", [b"a: [", b"\t a: b", b"a: b: c", b"\xff\xfe\x00", b"a: \x07"])
def test_what_is_not_yaml_is_said_to_be(tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    assert complaint(tmp_path / "mine.yaml").startswith("not YAML: ")


@pytest.mark.parametrize("content", ["", "- 1\n", "3\n", "null\n"])
def test_a_file_that_is_no_mapping_is_said_to_be(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    assert complaint(tmp_path / "mine.yaml").startswith("the file: Input should be an object")


class Inner(Config):
    number: int
    pair: tuple[float, float]


class Outer(Config):
    inner: Inner


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inside: (
            st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["inner", "number", "pair", "x"]), inside)
        ),
    )
)
def test_whatever_the_content_it_is_taken_as_it_is_or_refused_in_one_line(content):
    try:
        taken = parse(Outer, content, Path("file.yaml"))
    except ConfigError as error:
        line = str(error)
        assert re.fullmatch(r"file\.yaml: [^\n]+: [^\n]+", line)
        return
    assert set(content) == {"inner"}
    assert taken.inner.number == content["inner"]["number"]


def test_a_config_cannot_be_changed():
    loaded = experiment.load(PARAMS / "demo.yaml")
    with pytest.raises(ValueError, match="frozen"):
        loaded.compute.seed = 2
    assert read_yaml(PARAMS / "demo.yaml") == DEMO
