"""Config files: YAML in, frozen records out, and one clear line where something is not allowed."""

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class ConfigError(ValueError):
    """One line: file, key, what is allowed."""


class Config(BaseModel):
    """A section of a params file: complete, frozen, and strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


T = TypeVar("T", bound=Config)


def read_yaml(path: Path) -> Any:
    """Raises ConfigError where there is no such file or it is not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml") if p.stem != "live"))
        raise ConfigError(f"{path}: no such file: there is {there}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def parse(model: type[T], content: Any, path: Path) -> T:
    """`content` as `model`. Raises ConfigError naming file, key and what is allowed."""
    try:
        # through JSON, where lists may become tuples and nothing else is bent
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key}: {_allowed(first, model)}") from None


def _allowed(error: Any, model: type[Config]) -> str:
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    here: Any = model
    for part in error["loc"][:-1]:
        field = getattr(here, "model_fields", {}).get(part)
        here = field.annotation if field else None
    fields = ", ".join(getattr(here, "model_fields", {}))
    return f"unknown key: allowed is {fields}" if fields else "unknown key"
