"""MLflow owns what was learnt: runs (flows/projection.py fills them) and models, which are found by their weights."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.records import file_sha256
from flows import lineage, project
from flows.ledger import Identity
from flows.policy import Policy
from flows.project import ROOT, Failed

# a server that is down should be said to be down within seconds; whoever wants more patience sets these
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

CHAMPION, PREVIOUS = "champion", "previous"
FOLLOWED = "ledger.entry"  # tag of a registered model: the last decision that aliases and descriptions have followed
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")


@dataclass(frozen=True)
class Version:
    """A registered model version, with what our tags say of it."""

    name: str
    number: int
    aliases: tuple[str, ...]
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"

    @property
    def weights_sha256(self) -> str:
        return self.tags.get("weights_sha256", "")

    @property
    def identity(self) -> Identity:
        return Identity(version=self.number, weights_sha256=self.weights_sha256)

    @property
    def alias(self) -> str | None:
        return next((alias for alias in (CHAMPION, PREVIOUS) if alias in self.aliases), None)


def tracking_uri(policy: Policy) -> str:
    """MLFLOW_TRACKING_URI if set; a relative SQLite path is meant from the project, wherever we stand."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or policy.tracking.uri
    relative = "sqlite:///"
    if uri.startswith(relative) and not uri.startswith("sqlite:////"):
        return f"{relative}{ROOT / uri.removeprefix(relative)}"
    return uri


@contextmanager
def reachable(policy: Policy) -> Iterator[Any]:
    """An MLflow client. Raises Failed, one line, where the server or its store does not answer.

    What MLflow is told is read from the disk meanwhile: what goes wrong there is one line too, and not MLflow's.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    uri = tracking_uri(policy)
    try:
        yield MlflowClient(uri, uri)
    except (MlflowException, RequestException, ConnectionError, TimeoutError) as error:
        text = str(error).strip() or type(error).__name__
        line = "does not answer" if "Max retries exceeded" in text else text.splitlines()[0][:200]
        raise Failed(f"MLflow at {public(uri)}: {line}", "infrastructure") from None
    except FileNotFoundError as error:
        # pyarrow's message is the path
        raise Failed(f"{_short(error.filename or error)}: missing", "data") from None
    except OSError as error:
        where = f"{_short(error.filename)}: " if error.filename else ""
        raise Failed(f"{where}{error.strerror or error}", "infrastructure") from None


def _short(path: object) -> str:
    return str(path).replace(f"{ROOT}{os.sep}", "")


def public(uri: str) -> str:
    """The address without user and password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def find_version(client: Any, model: str, weights_sha256: str) -> Version | None:
    """The version that was registered from these weights."""
    query = f"name = '{model}' and tags.weights_sha256 = '{weights_sha256}'"
    found = sorted(client.search_model_versions(query), key=lambda one: int(one.version))
    return version(client, model, int(found[-1].version)) if found else None


def versions(client: Any, model: str) -> list[int]:
    """The numbers of a model's versions, newest first."""
    return sorted((int(one.version) for one in _pages(client.search_model_versions, f"name = '{model}'")), reverse=True)


def experiments(client: Any, policy: Policy) -> set[str]:
    """Whose models are registered, by the names that the policy gives them."""
    name = re.compile(re.escape(policy.registry.model).replace(re.escape("{experiment}"), "(.+)"))
    found = (name.fullmatch(one.name) for one in _pages(client.search_registered_models))
    return {one[1] for one in found if one}


def version(client: Any, model: str, number: int) -> Version | None:
    """None where the registry holds no such version."""
    found = _found(lambda: client.get_model_version(model, str(number)))
    return Version(model, number, tuple(sorted(found.aliases)), dict(found.tags)) if found else None


def _found(get: Callable[[], Any]) -> Any:
    """What MLflow has, or None where it says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return get()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


@dataclass(frozen=True)
class Pointers:
    """What a registered model points at."""

    aliases: dict[str, int]  # version by alias
    followed: int  # the last entry of the ledger that the registry has followed, 0 where there was none


def pointers(client: Any, model: str) -> Pointers:
    """Of a model that is not registered: none."""
    found = _found(lambda: client.get_registered_model(model))
    if found is None:
        return Pointers({}, 0)
    numbers = {name: int(number) for name, number in found.aliases.items()}
    return Pointers(numbers, int(found.tags.get(FOLLOWED, "0")))


def set_alias(client: Any, model: str, alias: str, number: int | None) -> None:
    """Point an alias at a version, or take it away."""
    if number is None:
        client.delete_registered_model_alias(model, alias)
    else:
        client.set_registered_model_alias(model, alias, str(number))


def set_followed(client: Any, model: str, entry: int) -> None:
    client.set_registered_model_tag(model, FOLLOWED, str(entry))


def describe(client: Any, version: Version, description: str, tags: dict[str, str]) -> None:
    """What the registry's pages show of a version; verdicts of gates that are declared no longer go."""
    client.update_model_version(version.name, str(version.number), description)
    for name in sorted(version.tags.keys() - tags.keys()):
        if name.startswith("gate."):
            client.delete_model_version_tag(version.name, str(version.number), name)
    for name, value in tags.items():
        client.set_model_version_tag(version.name, str(version.number), name, value)


def attach(client: Any, policy: Policy, experiment: str, version: int, page: Path) -> None:
    """Keep a page with the run that a version came from."""
    found = client.get_model_version(policy.registry.model_name(experiment), str(version))
    client.log_artifact(found.run_id, str(page), "report")


def experiment_of(client: Any, policy: Policy, experiment: str) -> str:
    """The id of our experiment in MLflow, made where it is not there yet."""
    found = client.get_experiment_by_name(f"lldif/{experiment}")
    if found:
        return str(found.experiment_id)
    # with a server, the server decides where artifacts go
    local = tracking_uri(policy).startswith("sqlite:")
    place = (ROOT / policy.tracking.artifacts / experiment).as_uri() if local else None
    return str(client.create_experiment(f"lldif/{experiment}", artifact_location=place))


def run_by(client: Any, folder: str, **tags: str) -> str | None:
    """The run of an MLflow experiment that has these tags."""
    query = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    found = client.search_runs([folder], query, max_results=1)
    return str(found[0].info.run_id) if found else None


def log_params(client: Any, run: str, params: dict[str, str]) -> None:
    from mlflow.entities import Param

    client.log_batch(run, params=[Param(name, value) for name, value in params.items()])


def log_reports(client: Any, run: str, reports: list[dict[str, Any]]) -> None:
    """Metrics of reports ({"step", "metrics", "time"}), in as few requests as MLflow allows."""
    from mlflow.entities import Metric

    metrics = [
        Metric(name, value, int(1000 * report.get("time", 0)), report["step"])
        for report in reports
        for name, value in report["metrics"].items()
    ]
    for start in range(0, len(metrics), 1000):
        client.log_batch(run, metrics=metrics[start : start + 1000])


def register(client: Any, policy: Policy, experiment: str, run: str) -> Version:
    """The version of the weights in runs/<experiment>: found, or made self-contained with the code it needs."""
    import mlflow

    weights = project.runs_folder(experiment) / "lldif.safetensors"
    sha256, model = file_sha256(weights), policy.registry.model_name(experiment)
    found = find_version(client, model, sha256)
    if found:
        return found
    mlflow.set_tracking_uri(tracking_uri(policy))
    mlflow.set_registry_uri(tracking_uri(policy))
    with tempfile.TemporaryDirectory() as temporary:
        code = snapshot(Path(temporary) / "components")
        recorded = lineage.record(experiment, Path(temporary) / "recorded.parquet")
        with _quiet(), mlflow.start_run(run_id=run):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(ROOT / "flows" / "served_model.py"),
                artifacts={"weights": str(weights), "recorded": str(recorded)},
                code_paths=[str(code)],
                signature=_signature(weights),
                pip_requirements=_requirements(weights),
            )
    if _found(lambda: client.get_registered_model(model)) is None:
        client.create_registered_model(model)
    tags = lineage.tags(experiment)
    made = client.create_model_version(model, logged.model_uri, run_id=run, tags=tags, model_id=logged.model_id)
    return Version(model, int(made.version), (), tags)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow prints links to standard output when a run ends, and ours carries JSON; it also misses an input example,
    which a model whose input is image bytes does not need to declare its signature."""
    import warnings
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def snapshot(folder: Path) -> Path:
    """Copy the modules that a model needs to answer, and nothing else, under `folder`."""
    import grimp

    graph = grimp.build_graph("components", cache_dir=None)
    needed = {"components.learning.inference", "components.data.images"}
    for module in list(needed):
        needed |= graph.find_upstream_modules(module)
    for module in sorted(needed):
        file = ROOT / f"{module.replace('.', '/')}.py"
        copy = folder.parent / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        for package in copy.relative_to(folder.parent).parents[:-1]:
            shutil.copyfile(ROOT / package / "__init__.py", folder.parent / package / "__init__.py")
    return folder


def _signature(weights: Path) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    from components.learning import checkpoint

    classes = checkpoint.read(weights)[1]["faces"]["classes"]
    outputs = Schema([ColSpec("string", "label"), *(ColSpec("float", name) for name in classes)])
    return ModelSignature(inputs=Schema([ColSpec("binary", "image")]), outputs=outputs)


def _requirements(weights: Path) -> list[str]:
    """Pinned as they are here; transformers where CLIP is within."""
    from importlib.metadata import version

    from components.learning.checkpoint import read

    with_clip = read(weights)[1]["model"]["prior"]["clip"]
    names = (*REQUIREMENTS, "transformers") if with_clip else REQUIREMENTS
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


@dataclass(frozen=True)
class RunArtifacts:
    """What an MLflow run keeps in the artifact store, logged models included."""

    run: str
    name: str
    places: tuple[str, ...]
    models: tuple[str, ...]
    size_bytes: int


def is_there(policy: Policy) -> bool:
    """Whether there is a store to ask: asking for one that is a file would make it."""
    uri = tracking_uri(policy)
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def runs_without_version(client: Any, policy: Policy, keep: int) -> list[RunArtifacts]:
    """Ended runs of ours with artifacts, behind no registered version, the newest `keep` of a stage apart."""
    found = []
    for folder in _pages(client.search_experiments, filter_string="name LIKE 'lldif/%'"):
        model = policy.registry.model_name(folder.name.removeprefix("lldif/"))
        versions = {version.run_id for version in _pages(client.search_model_versions, f"name = '{model}'")}
        models = _pages(client.search_logged_models, [folder.experiment_id])
        seen: dict[str, int] = {}
        for run in _pages(client.search_runs, [folder.experiment_id], order_by=["start_time DESC"]):
            stage = run.data.tags.get("stage")
            if stage is None or run.info.run_id in versions or run.info.status == "RUNNING":
                continue
            seen[stage] = seen.get(stage, 0) + 1
            if seen[stage] > keep:
                found.append(_artifacts(run, [one for one in models if one.source_run_id == run.info.run_id]))
    return [one for one in found if one.size_bytes]


def _artifacts(run: Any, models: list[Any]) -> RunArtifacts:
    places = (run.info.artifact_uri, *(model.artifact_location for model in models))
    size = sum(_stored_bytes(_repository(place)) for place in places)
    name = f"{run.data.tags['experiment']}: {run.info.run_name}"
    return RunArtifacts(run.info.run_id, name, places, tuple(model.model_id for model in models), size)


def remove_artifacts(client: Any, run: RunArtifacts) -> None:
    """Take a run's files away; the run itself stays, with all that was measured in it."""
    for place in run.places:
        _repository(place).delete_artifacts()
    for model in run.models:
        client.delete_logged_model(model)


def _pages(search: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
    """All that a search finds: MLflow answers a page at a time."""
    page = search(*arguments, **named)
    found = list(page)
    while page.token:
        page = search(*arguments, **named, page_token=page.token)
        found += page
    return found


def _repository(place: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place)


def _stored_bytes(repository: Any, path: str | None = None) -> int:
    files = repository.list_artifacts(path)
    return sum(_stored_bytes(repository, one.path) if one.is_dir else int(one.file_size or 0) for one in files)
