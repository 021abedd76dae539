"""mlflow.yaml, typed."""

from pydantic import Field

from components.config import Config, parse, read_yaml
from components.gates import Gate
from flows.project import ROOT


class Tracking(Config):
    uri: str
    artifacts: str


class Registry(Config):
    model: str = Field(pattern=r"\{experiment\}")

    def model_name(self, experiment: str) -> str:
        return self.model.format(experiment=experiment)


class Policy(Config):
    tracking: Tracking
    registry: Registry
    gates: tuple[Gate, ...] = Field(min_length=1)


def load() -> Policy:
    """Raises ConfigError: file, key, what is allowed."""
    path = ROOT / "mlflow.yaml"
    return parse(Policy, read_yaml(path), path)
