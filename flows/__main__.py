"""The `lldif` command. Engines are imported inside the command that needs them: `lldif --help` must not wait."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from flows import commands
from flows.project import ROOT, SETTINGS, Failed, config_errors
from flows.sweep_command import sweep

EXIT = {"done": 0, "failed": 1, "usage": 2, "rejected": 3}


def main() -> None:
    """Run the command with the code of the clone we stand in, and end with its exit code."""
    _use_this_clone()
    os.environ.update(SETTINGS)
    try:
        sys.exit(cli.main(standalone_mode=False) or EXIT["done"])
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT["usage"])
    except click.Abort:
        click.echo("lldif: stopped; the same command goes on from here", err=True)
        sys.exit(EXIT["failed"])
    except Failed as error:
        click.echo(f"lldif: {error}", err=True)
        sys.exit(EXIT["usage"] if error.kind == "config" else EXIT["failed"])


def _use_this_clone() -> None:
    """An editable install points at one clone; DVC hashes the code of the clone it works in, so that one must run."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "flows" / "__main__.py").exists():
            if folder != ROOT:
                paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
                os.environ["PYTHONPATH"] = paths
                os.execv(sys.executable, [sys.executable, "-m", "flows", *sys.argv[1:]])
            return


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Keeps an emotion classifier for very dark images current.

    Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 candidate rejected.
    """


@cli.command()
@click.argument("experiment")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--publish", is_flag=True, help="Commit dvc.lock and *.dvc at the end.")
@click.option("--retries", default=0, show_default=True, help="Of a step that infrastructure let down.")
def run(experiment: str, as_json: bool, publish: bool, retries: int) -> int:
    """Faces in, a judged model out: every stage, then register, gate, promote."""
    from flows import live, policy, project, result, summary

    with config_errors():
        steps = [spec.name for spec in project.stages(experiment)] + ["register", "gate", "promote", "report"]
        project.check_params(experiment)
        rules = policy.load()
    with live.shown(experiment, [*steps, "publish"] if publish else steps) as view:
        view.note("asking DVC and the registry what there is to do")
        answer = result.current(rules, experiment)
        if answer is None:
            view.note("starting Prefect")
            answer = _retrain(experiment, publish, retries)
        elif publish:
            answer["commit"] = project.publish(f"Publish {experiment} version {answer['version']}")
    if as_json:
        click.echo(json.dumps(answer, indent=1))
    else:
        summary.show(answer)
    return EXIT["done"] if answer["decision"] in ("promoted", "awaits approval") else EXIT["rejected"]


def _retrain(experiment: str, publish: bool, retries: int) -> dict[str, Any]:
    # a person wants one line, not the engine's traceback; whoever wants more sets this
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    # where a machine is busy training, the server needs longer to start than the 20 seconds that Prefect waits
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    from flows import watch

    watch.over_this_process()
    from flows.retrain import retrain, start_server

    start_server()
    return retrain(experiment, publish=publish, retries=retries)


@cli.command()
@click.argument("name")
@click.argument("experiment")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def stage(name: str, experiment: str, as_json: bool) -> None:
    """Run one stage now (DVC calls this; `dvc repro` decides whether it is needed)."""
    from dataclasses import asdict

    from flows import staging

    artifacts = staging.run(name, experiment)
    if as_json:
        click.echo(json.dumps([asdict(artifact) for artifact in artifacts]))


@cli.command()
@click.argument("experiment")
@click.argument("table", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print every rule and what became of it as JSON.")
def validate(experiment: str, table: Path, as_json: bool) -> None:
    """Judge any face table by an experiment's rules, outside the pipeline (rejects.parquet is looked for beside it)."""
    from components import experiment as params_file
    from components.stages.validate import Params
    from flows import project, staging, validation

    rejects = table.resolve().with_name("rejects.parquet")
    with staging.one_line_errors() as explain:
        params = params_file.given(params_file.load(project.params_path(experiment)), "validate")
        assert isinstance(params, Params)
        pages = project.reports_folder(experiment) / "validate"
        found = validation.examine(params, table.resolve(), rejects if rejects.exists() else None, pages)
    if explain:
        raise explain[0]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for level in ("error", "warning"):
            for line in found[f"{level}s"]:
                click.echo(f"{level}: {line}")
        click.echo(f"{len(found['rules'])} rules; all of it in {(pages / 'index.html').relative_to(ROOT)}")
    if found["errors"]:
        raise Failed(f"{table}: broken: {len(found['errors'])} of {len(found['rules'])} rules", "data")


@cli.command()
@click.argument("experiment")
@click.option("--json", "as_json", is_flag=True, help="Print where the page is as JSON.")
def report(experiment: str, as_json: bool) -> None:
    """Make the page about an experiment from what its stages left: reports/EXPERIMENT/index.html."""
    from flows import policy, project
    from flows import report as pages

    with config_errors():
        project.stages(experiment)
        page = str(pages.write(policy.load(), experiment).relative_to(ROOT))
    click.echo(json.dumps({"report": page}) if as_json else page)


@cli.group()
def data() -> None:
    """Raw data."""


@data.group("add")
def data_add() -> None:
    """Bring raw data in: it comes under DVC, and the experiments it can serve become live."""


PATH = click.argument("path", type=click.Path(exists=True, path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print what became live as JSON.")


@data_add.command()
@PATH
@JSON
def ferplus(path: Path, as_json: bool) -> None:
    """The official FER+ folders (FER2013Train, FER2013Valid, FER2013Test), or fer2013.csv and fer2013new.csv.

    PATH is a folder that holds them, or a zip.
    """
    _add_official("ferplus", path, as_json)


@data_add.command()
@PATH
@JSON
def rafdb(path: Path, as_json: bool) -> None:
    """RAF-DB: a folder or a zip with Image/aligned and list_patition_label.txt."""
    _add_official("rafdb", path, as_json)


@data_add.command()
@PATH
@JSON
def kdef(path: Path, as_json: bool) -> None:
    """KDEF: a folder or a zip of images with their official names, such as AF01ANS.JPG."""
    _add_official("kdef", path, as_json)


@data_add.command()
@click.argument("experiment")
@PATH
@JSON
def folder(experiment: str, path: Path, as_json: bool) -> None:
    """A folder or a zip of images, laid out as params/EXPERIMENT.yaml says (source: folder)."""
    _add_own("folder", experiment, path, as_json)


@data_add.command()
@click.argument("experiment")
@PATH
@JSON
def parquet(experiment: str, path: Path, as_json: bool) -> None:
    """A folder of Parquet shards, with columns as params/EXPERIMENT.yaml says (source: parquet)."""
    _add_own("parquet", experiment, path, as_json)


def _add_official(source: str, path: Path, as_json: bool) -> None:
    from flows import intake

    _tell(intake.add_official(source, path.resolve()), f"data/{source}.zip", as_json)


def _add_own(source: str, experiment: str, path: Path, as_json: bool) -> None:
    from flows import intake

    place = f"data/{experiment}" if source == "parquet" else f"data/{experiment}.zip"
    _tell(intake.add_own(source, experiment, path.resolve()), place, as_json)


def _tell(added: dict[str, list[str]], place: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(added))
        return
    click.echo(f"{place} is under DVC; live: {', '.join(added['live']) or 'nothing'}")
    if added["waiting"]:
        click.echo(f"not live, a folder is missing: {', '.join(added['waiting'])}")
    click.echo(f"\nnext\n  git add params/live.yaml {place}.dvc && git commit -m 'Data of {Path(place).stem}'")
    for name in added["live"]:
        click.echo(f"  lldif run {name}")


@cli.command()
@click.option("--mlflow-port", default=5000, show_default=True)
@click.option("--prefect-port", default=4200, show_default=True)
def ui(mlflow_port: int, prefect_port: int) -> None:
    """Serve MLflow's and Prefect's pages until interrupted."""
    from flows import services

    # asked to end in whatever way, it ends what it serves
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.default_int_handler)
    with config_errors():
        running = services.start(mlflow_port, prefect_port)
    try:
        for service in running:
            click.echo(f"{service.name:<8} {service.url}")
        services.wait(running)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        services.stop(running)


@cli.command()
@click.option("--dry-run", is_flag=True, help="List what would go, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what went, or would go, as JSON.")
def clean(dry_run: bool, as_json: bool) -> None:
    """Remove what is old, as the retention section of mlflow.yaml bounds it."""
    from dataclasses import asdict

    from flows import policy, retention

    with config_errors():
        rules = policy.load()
    cleaning = retention.clean(rules, dry_run)
    click.echo(json.dumps(asdict(cleaning), indent=1) if as_json else retention.text(cleaning))
    if cleaning.error:
        raise Failed(f"artifacts were not looked at: {cleaning.error}", "infrastructure")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> int:
    """Say what the pipeline needs and is missing, and how to get it."""
    from flows import doctor

    findings = doctor.examine()
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        click.echo(doctor.text(findings))
    return EXIT["done"] if all(finding.ok for finding in findings) else EXIT["failed"]


for command in (sweep, commands.promote, commands.approve, commands.rollback, commands.history):
    cli.add_command(command)


if __name__ == "__main__":
    main()
