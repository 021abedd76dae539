"""The command `lldif sweep`."""

import json
from typing import Any

import click

from flows.project import Failed


@click.command()
@click.argument("experiment")
@click.option("--trials", type=click.IntRange(min=1), help="Budget: so many trials.")
@click.option("--epochs", type=click.IntRange(min=1), help="Budget: so many epochs of all trials together.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Budget: so many minutes of search.")
@click.option("--scheduler", type=click.Choice(["asha", "none"]), help="Whether poor trials are stopped early.")
@click.option("--searcher", type=click.Choice(["random", "tpe"]), help="How the next trial's parameters are drawn.")
@click.option("--json", "as_json", is_flag=True, help="Print the trials and the winner as JSON.")
@click.option("--adopt", "adopts", is_flag=True, help="Write the winner into params/EXPERIMENT.yaml.")
def sweep(experiment: str, as_json: bool, adopts: bool, **changes: Any) -> None:
    """Search parameters on valid, beside the pipeline; the same command goes on where a killed one was.

    What is not given is as the sweep section of params/EXPERIMENT.yaml says; with trials: 0 there, as many as the other
    budgets allow. The budget that is spent first ends the search; then the best are trained anew, with new seeds.
    Results lie under state/, nothing of DVC's is touched.
    """
    from flows import exploration

    given = {name: value for name, value in changes.items() if value is not None}
    answer = exploration.explore(experiment, given, adopts)
    click.echo(json.dumps(answer, indent=1) if as_json else text(answer))
    if answer["mlflow_error"]:
        raise Failed(f"{answer['mlflow_error']}; the same command tells it what was found", "infrastructure")


def text(answer: dict[str, Any]) -> str:
    """The answer for a person."""
    from flows.progress import duration

    best = answer["best"]
    epochs, seconds = answer["epochs"], answer["seconds"]
    states = [one["status"] for one in answer["trials"]]
    counted = ", ".join(
        f"{states.count(state)} {state}" for state in ("finished", "stopped", "failed") if state in states
    )
    lines = [
        f"{answer['experiment']}: {len(states)} trials: {counted}; {epochs['spent']} of {epochs['in_full']} epochs, "
        f"{duration(seconds['search'])}; "
        f"confirmation {epochs['confirmation']} epochs, {duration(seconds['confirmation'])}",
        best["says"],
        *(f"  {name}: {value}" for name, value in best["parameters"].items()),
        f"all of it in {answer['state']}/trials.json and in MLflow's run {answer['mlflow_run']}",
    ]
    if answer["adopted"]:
        lines.append(f"params/{answer['experiment']}.yaml has these values now")
    return "\n".join(lines)
