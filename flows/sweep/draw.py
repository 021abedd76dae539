"""Which parameters a trial gets: the defaults first, then by chance, or by Optuna's TPE from what is known by then.

Both are functions of the sweep's seed, the trial's number and, for TPE, of the trials that have ended: a search that
was killed draws on as if it had not been. What the params' own validators refuse is drawn again: values that are
allowed one by one need not go together.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.config import ConfigError
from components.stages import sweep
from components.stages.sweep import METRIC, Domain, IntegerRange, Params, Range
from components.stages.train_diffusion import override
from flows.sweep.journal import Training

DRAWS = 1000  # for one trial: where all are refused, hardly anything of the space is allowed


def draw(params: Params, number: int, trials: Sequence[Training]) -> dict[str, Any]:
    """The parameters of trial `number`, by dotted place; `trials` are those that TPE may learn from.

    Raises ConfigError where draw after draw is refused.
    """
    if number == 0:
        return sweep.defaults(params)
    config, why = params.sweep, ""
    if config.searcher == "tpe":
        draws = _by_tpe(config.space, (config.seed + number) % 2**32, trials)
    else:
        draws = _by_chance(config.space, np.random.default_rng([config.seed, number]))
    for drawn in itertools.islice(draws, DRAWS):
        try:
            override(params, drawn)
        except ValueError as error:
            why = str(error)
        else:
            return drawn
    raise ConfigError(f"sweep.space: {DRAWS} draws of trial {number} are refused, the last by: {why}")


def _by_chance(space: Mapping[str, Domain], random: np.random.Generator) -> Iterator[dict[str, Any]]:
    while True:
        # by name: the order of the lines in a params file means nothing
        yield {name: _value(space[name], random) for name in sorted(space)}


def _value(domain: Domain, random: np.random.Generator) -> Any:
    if isinstance(domain, Range):
        if domain.kind == "uniform":
            return float(random.uniform(domain.low, domain.high))
        drawn = float(np.exp(random.uniform(np.log(domain.low), np.log(domain.high))))
        return min(max(drawn, domain.low), domain.high)  # exp(log(x)) may round past an end
    if isinstance(domain, IntegerRange):
        return int(random.integers(domain.low, domain.high, endpoint=True))
    return domain.values[int(random.integers(len(domain.values)))]


def _by_tpe(space: Mapping[str, Domain], seed: int, trials: Sequence[Training]) -> Iterator[dict[str, Any]]:
    """Bergstra et al. 2011, as Optuna has it; trials that were stopped count as pruned, at their last epoch.

    The defaults may lie outside of the space, of which alone Optuna may be told: then they teach it nothing.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {name: _distribution(space[name]) for name in sorted(space)}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for one in trials:
        if one.accuracy is None or not one.has_ended or one.status == "failed":
            continue
        if not all(_holds(domain, one.job.parameters[name]) for name, domain in space.items()):
            continue
        finished = one.status == "finished"
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED,
                params=dict(one.job.parameters),
                distributions=distributions,
                value=one.accuracy if finished else None,
                intermediate_values={epoch: figures[METRIC] for epoch, figures in one.history.items()},
            )
        )
    while True:
        yield dict(study.ask(distributions).params)


def _holds(domain: Domain, value: Any) -> bool:
    if isinstance(domain, Range):
        return isinstance(value, int | float) and domain.low <= value <= domain.high
    if isinstance(domain, IntegerRange):
        return value in range(domain.low, domain.high + 1)
    return value in domain.values


def _distribution(domain: Domain) -> Any:
    import optuna

    if isinstance(domain, Range):
        return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.kind == "log_uniform")
    if isinstance(domain, IntegerRange):
        return optuna.distributions.IntDistribution(domain.low, domain.high)
    return optuna.distributions.CategoricalDistribution(domain.values)
