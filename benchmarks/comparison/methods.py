"""What is compared: each method is the stages it trains and what it changes in the experiment's params file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from components.config import ConfigError

PLAIN = "plain"  # what every other method is read against
CEILING = "clean_ceiling"  # what the same recogniser does where there is light
PRIOR_SHARE = 0.15  # of LLDif's epochs that stage 1 gets: each is one that the recogniser lacks


@dataclass(frozen=True)
class Method:
    """`overrides` are dotted places in the params file. Whatever its phases, a method sees `epochs` times train."""

    name: str
    trains: Literal["baseline", "lldif"]
    says: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    prior_share: float = PRIOR_SHARE

    @property
    def stages(self) -> tuple[str, ...]:
        return ("train_baseline",) if self.trains == "baseline" else ("train_prior", "train_diffusion")

    def epochs(self, total: int) -> dict[str, int]:
        """How many of `total` epochs each stage gets, by the dotted place of its number."""
        if self.trains == "baseline":
            return {"train_baseline.epochs": total}
        prior = max(1, round(self.prior_share * total))
        return {"train_prior.epochs": prior, "train_diffusion.epochs": total - prior}


METHODS = (
    Method(PLAIN, "baseline", "the same recogniser, one learned constant in place of the prior"),
    Method("lldif", "lldif", "both stages, as the params file says"),
)

ABLATIONS = (
    Method("lldif_paper_form", "lldif", "the label among PNET's inputs", {"model.prior.label_input": True}),
    Method(
        "lldif_no_contrast", "lldif", "the label reaches Z by no loss", {"train_prior.loss.contrastive_weight": 0.0}
    ),
    Method("lldif_noised_start", "lldif", "chains start from noised Z", {"train_diffusion.loss.pure_noise_share": 0.0}),
    Method("lldif_one_step", "lldif", "T = 1", {"diffusion.steps": 1}),
    Method("lldif_two_steps", "lldif", "T = 2", {"diffusion.steps": 2}),
    Method("lldif_eight_steps", "lldif", "T = 8", {"diffusion.steps": 8}),
    Method("lldif_eight_chains", "lldif", "K = 8", {"diffusion.samples": 8}),
)

GROUPS = {"peers": METHODS, "ablations": ABLATIONS, "all": METHODS + ABLATIONS}


def chosen(names: str) -> list[Method]:
    """The methods of a list like "lldif,plain" or "peers". Raises ConfigError, naming what there is."""
    known = {method.name: method for method in GROUPS["all"]}
    found: list[Method] = []
    for name in names.split(","):
        if name not in known and name not in GROUPS:
            raise ConfigError(f"--methods {name}: allowed are {', '.join([*GROUPS, *known])}")
        found += GROUPS.get(name, (known[name],) if name in known else ())
    return list({method.name: method for method in found}.values())


def overridden(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A params file's content with some values replaced. Raises ConfigError where the file has no such place."""
    result: dict[str, Any] = deepcopy(dict(content))
    for place, value in changes.items():
        section: Any = result
        *parents, last = place.split(".")
        for part in parents:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise ConfigError(f"{place}: not in the params file: a method replaces only what stands there")
        section[last] = value
    return result
