"""Decision 2: a stage goes stale when its code or its sections of the params change, and at no other time."""

import ast
from pathlib import Path

import grimp
import pytest
import yaml
from clones import REPOSITORY, Clone

from components import experiment

ENGINES = {"validate": "flows.validation", "sweep": "flows.sweep.stage"}  # whose stages an engine of flows runs
GRAPH = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]


TRAININGS = {"train_prior", "sweep", "train_diffusion", "train_baseline"}


def files_under(dependency: str) -> set[str]:
    path = REPOSITORY / dependency
    found = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(REPOSITORY)) for file in found if file.name != "__init__.py"}


@pytest.mark.parametrize("stage", GRAPH)
def test_dependencies_are_the_import_closure_and_nothing_more(stage: str):
    module = ENGINES.get(stage, f"components.stages.{stage}")
    modules = grimp.build_graph("components", "flows", cache_dir=None).find_upstream_modules(module) | {module}
    needed = {f"{module.replace('.', '/')}.py" for module in modules}
    declared = [name for name in GRAPH[stage]["do"]["deps"] if name.startswith(("components/", "flows/"))]
    covered = set().union(*(files_under(name) for name in declared))
    assert covered == {name for name in needed if not (REPOSITORY / name.removesuffix(".py")).is_dir()}


def test_packages_hold_no_code_that_the_closure_would_miss():
    for package in (REPOSITORY / "components").rglob("__init__.py"):
        body = ast.parse(package.read_text()).body
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body), package


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_declares_to_dvc_the_sections_it_is_given(stage: str):
    declared = [name for entry in GRAPH[stage]["do"]["params"] for name in entry["params/${key}.yaml"]]
    assert sorted(declared) == sorted(experiment.sections(stage))


def leaves(content: object, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(content, dict):
        return [place]
    return [leaf for key, value in content.items() for leaf in leaves(value, (*place, key))]


def other(value: object) -> object:
    """A value of the same kind that is not the same."""
    if value is None:
        return "something"
    if isinstance(value, bool):
        return not value
    return [*value, 0.5] if isinstance(value, list) else f"{value}x" if isinstance(value, str) else value + 1


def stale(repository: Path) -> set[str]:
    from dvc.repo import Repo

    with Repo(str(repository)) as repo:
        return {name_of(address) for address in repo.status()}


def name_of(address: str) -> str:
    """A stage's, of DVC's address for it, which begins with its file where that is not in the working folder."""
    return address.rpartition(":")[2].removesuffix("@demo")


def test_every_key_of_the_params_makes_exactly_its_stages_stale(clone: Clone):
    """DVC is asked for the params of each stage; for all it looks at, code and data too, once for each section."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    original, seen = clone.params(), set[str]()
    keys = leaves(original)
    assert len(keys) > 40
    with Repo(str(clone.path)) as repo:
        stages = {name_of(stage.addressing): stage for stage in repo.index.stages if "@demo" in stage.addressing}
        assert set(stages) == set(GRAPH)
        of_params = [(name, dep) for name in stages for dep in stages[name].deps if isinstance(dep, ParamsDependency)]
        for *parents, last in keys:
            content = yaml.safe_load(yaml.safe_dump(original))
            section = content
            for key in parents:
                section = section[key]
            section[last] = other(section[last])
            clone.set_params(content)
            top = (parents or [last])[0]
            expected = {s for s in GRAPH if top in experiment.sections(s)}
            assert {name for name, dep in of_params if dep.status()} == expected, ".".join([*parents, last])
            if top not in seen:
                assert stale(clone.path) == expected, top
                seen.add(top)
    clone.set_params(original)
    assert stale(clone.path) == set()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("components/gates/judging.py", set()),
        ("components/__main__.py", set()),
        ("flows/tracking.py", set()),
        ("flows/validation.py", {"validate"}),
        ("flows/sweep/engine.py", {"sweep"}),
        ("flows/sweep_runs.py", set()),
        ("components/learning/evaluation.py", {"evaluate"}),
        ("components/learning/optim.py", TRAININGS),
        ("components/model/schedule.py", TRAININGS | {"evaluate"}),
        ("components/lowlight/noise.py", TRAININGS | {"darken", "evaluate"}),
        ("components/data/sources.py", {"ingest", "validate"}),
    ],
)
def test_a_change_of_code_makes_stale_what_imports_it(clone: Clone, file: str, expected: set[str]):
    with (clone.path / file).open("a") as stream:
        stream.write("# changed\n")
    assert stale(clone.path) == expected
