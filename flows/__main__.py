"""The `lldif` command. Engines are imported inside the command that needs them: `lldif --help` must not wait."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from flows.project import ROOT, Failed

EXIT = {"done": 0, "failed": 1, "usage": 2, "rejected": 3}


def main() -> None:
    """Run the command with the code of the clone we stand in, and end with its exit code."""
    _use_this_clone()
    try:
        sys.exit(cli.main(standalone_mode=False) or EXIT["done"])
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT["usage"])
    except click.Abort:
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
    from flows import policy, project, result

    with _config_errors():
        from components import experiment as params_file

        project.stages(experiment)
        params_file.load(project.params_path(experiment))
        rules = policy.load()
    answer = result.current(rules, experiment)
    if answer is None:
        # a person wants one line, not the engine's traceback; whoever wants more sets this
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        from flows.retrain import retrain

        answer = retrain(experiment, publish=publish, retries=retries)
    elif publish:
        answer["commit"] = project.publish(f"Publish {experiment} version {answer['version']}")
    click.echo(json.dumps(answer, indent=1) if as_json else result.text(answer))
    return EXIT["done"] if answer["decision"] == "promoted" else EXIT["rejected"]


@contextmanager
def _config_errors() -> Iterator[None]:
    from components.config import ConfigError

    try:
        yield
    except ConfigError as error:
        raise Failed(str(error).replace(f"{ROOT}{os.sep}", ""), "config") from None


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


if __name__ == "__main__":
    main()
