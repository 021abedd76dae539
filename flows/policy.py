"""mlflow.yaml, typed."""

from pydantic import Field

from components.config import Config, parse, read_yaml
from components.gates.policy import Gates
from flows.project import ROOT


class Tracking(Config):
    uri: str
    artifacts: str


class Registry(Config):
    model: str = Field(pattern=r"\{experiment\}")

    def model_name(self, experiment: str) -> str:
        return self.model.format(experiment=experiment)


class LedgerPlace(Config):
    uri: str = Field(min_length=1)  # a folder, or s3://BUCKET/PREFIX


class Retention(Config):
    """What `lldif clean` leaves."""

    whole_states_per_stage: int = Field(ge=1)
    state_days: int = Field(ge=0)
    gate_days: int = Field(ge=0)
    report_days: int = Field(ge=0)
    unregistered_runs_per_stage: int = Field(ge=0)


class Policy(Config):
    tracking: Tracking
    registry: Registry
    ledger: LedgerPlace
    retention: Retention
    gates: Gates


def load() -> Policy:
    """Raises ConfigError: file, key, what is allowed."""
    path = ROOT / "mlflow.yaml"
    return parse(Policy, read_yaml(path), path)
