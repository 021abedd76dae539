"""The commands that decide who is champion, and the one that tells why."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from flows.project import Failed, config_errors

EXPERIMENT = click.argument("experiment")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the ledger's entry as JSON.")
REASON = click.option("--reason", default="", help="Why, for whoever reads the ledger in a year.")
REJECTED_EXIT = 3

F = TypeVar("F", bound=Callable[..., Any])


def _by(command: F) -> F:
    """Whose decision it is."""
    return click.option("--by", "who", default=_login, help="Your name in the ledger. Default: your login.")(command)


def _login() -> str:
    import getpass

    return getpass.getuser()


@click.command()
@EXPERIMENT
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--dry-run", is_flag=True, help="Only say what the gates say. It is a look at the test set all the same.")
@click.option("--require-approval", is_flag=True, help="Where the gates pass, wait for 'lldif approve'.")
@click.option("--override", is_flag=True, help="Promote whatever the gates say; takes --reason.")
@REASON
@_by
@AS_JSON
def promote(
    experiment: str,
    version: int | None,
    dry_run: bool,
    require_approval: bool,
    override: bool,
    reason: str,
    who: str,
    as_json: bool,
) -> int:
    """Judge a version, the newest where none is named, against the champion, and promote it if every gate passes."""
    from flows import policy, promotion

    if override:
        _check_reason(reason, "--override")
    with config_errors():
        rules = policy.load()
    candidate = promotion.choose(rules, experiment, version)
    wish = promotion.Wish(who, reason, override, require_approval)
    if dry_run:
        return _tell_judgement(promotion.judge(rules, experiment, candidate, wish), as_json)
    entry = promotion.promote(rules, experiment, candidate, wish)
    if entry.kind == "request":
        from flows import approval

        approval.announce(experiment, candidate.number)
    return _tell(entry, as_json)


def _check_reason(reason: str, option: str) -> None:
    if not reason.strip():
        raise Failed(f"{option}: --reason TEXT is missing: the ledger keeps it", "config")


@click.command()
@EXPERIMENT
@click.option("--reject", is_flag=True, help="Refuse it.")
@REASON
@_by
@AS_JSON
def approve(experiment: str, reject: bool, reason: str, who: str, as_json: bool) -> int:
    """Answer the promotion that awaits a person's word."""
    from flows import policy, promotion

    with config_errors():
        rules = policy.load()
    return _tell(promotion.approve(rules, experiment, who, reason, reject), as_json, 0)


@click.command()
@EXPERIMENT
@click.option("--to", type=click.IntRange(min=1), help="A version that was champion. Default: the one before.")
@REASON
@_by
@AS_JSON
def rollback(experiment: str, to: int | None, reason: str, who: str, as_json: bool) -> int:
    """Make a former champion champion again. What is left is not promoted again unless it is asked for by number."""
    from flows import policy, promotion

    _check_reason(reason, "rollback")
    with config_errors():
        rules = policy.load()
    return _tell(promotion.rollback(rules, experiment, to, who, reason), as_json)


@click.command()
@click.argument("words", nargs=-1, metavar="[EXPERIMENT] [VERSION]")
@click.option("--verify", is_flag=True, help="Prove chain and aliases; finish what a killed command left.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
def history(words: tuple[str, ...], verify: bool, as_json: bool) -> int:
    """Every look and decision; with VERSION its verdict in sentences. EXPERIMENT may be left out where there is one."""
    from flows import history as pages
    from flows import policy
    from flows.desk import open_ledger

    with config_errors():
        rules = policy.load()
    experiment, number = _place(words)
    if verify:
        found = pages.verify(rules, experiment)
        return _tell_verification(found, as_json)
    entries = open_ledger(rules).entries()
    if number is not None:
        names = sorted({entry.experiment for entry in entries})
        if experiment is None and len(names) != 1:
            raise Failed(f"history {number}: of which experiment: there is {', '.join(names) or 'none'}", "config")
        about = experiment or names[0]
        shown = tuple(entry for entry in pages.of(entries, about) if entry.candidate.version == number)
        click.echo(_json_of(shown) if as_json else pages.story(entries, about, number))
        return 0
    shown = pages.of(entries, experiment)
    click.echo(_json_of(shown) if as_json else pages.text(shown))
    return 0


def _place(words: tuple[str, ...]) -> tuple[str | None, int | None]:
    match words:
        case ():
            return None, None
        case (number,) if number.isdecimal():
            return None, int(number)
        case (experiment,):
            return experiment, None
        case (experiment, number) if number.isdecimal():
            return experiment, int(number)
    raise Failed(f"history {' '.join(words)}: allowed is [EXPERIMENT] [VERSION]", "config")


def _json_of(entries: Any) -> str:
    return json.dumps({"entries": [entry.model_dump(mode="json") for entry in entries]}, indent=1)


def _tell_verification(found: Any, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        for line in found.faults:
            click.echo(f"fault: {line}")
        proof = "chain and aliases hold" if not found.faults else f"{len(found.faults)} faults"
        click.echo(f"{len(found.entries)} entries: {proof}")
    return 1 if found.faults else 0


def _tell(entry: Any, as_json: bool, rejected: int = REJECTED_EXIT) -> int:
    from flows import accounts
    from flows import history as pages

    click.echo(json.dumps(entry.model_dump(mode="json"), indent=1) if as_json else pages.decided(entry))
    return rejected if entry.decision == accounts.REJECTED else 0


def _tell_judgement(judged: Any, as_json: bool) -> int:
    from flows import verdicts

    if as_json:
        click.echo(json.dumps(judged.model_dump(mode="json"), indent=1))
    else:
        word = "would be promoted" if judged.promote else "would be rejected"
        click.echo(
            "\n".join([f"version {judged.candidate.version} {word}: {judged.why}", *verdicts.sentences(judged.gates)])
        )
    return 0 if judged.promote else REJECTED_EXIT
