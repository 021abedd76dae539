"""Config files: YAML in, frozen records out, and one clear line where something is not allowed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

# what PyYAML lets through beside its own errors, for values like a 45th day or a type that is none
NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


class ConfigError(ValueError):
    """One line: file, key, what is allowed."""


class Config(BaseModel):
    """A section of a params file: complete, frozen, and strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=Config)


def read_yaml(path: Path) -> Any:
    """Raises ConfigError where there is no such file or it is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 (a safe one)
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml") if p.stem != "live"))
        raise ConfigError(f"{path}: no such file: there is {there}") from None
    except NOT_YAML as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a key stand twice and drops the first value; a params file must not lose one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"key {twice} stands twice, line {node.start_mark.line + 1} on")
        return super().construct_mapping(node, deep)


def parse(model: type[T], content: Any, path: Path) -> T:
    """`content` as `model`. Raises ConfigError naming file, key and what is allowed."""
    try:
        # through JSON, where lists may become tuples and nothing else is bent (what JSON lacks, a date, is text)
        text = json.dumps(content, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a plain tree of keys and values: {error}") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        # an unknown key explains the missing one beside it, so it comes first
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        line = f"{path}: {_key(first['loc'], content)}: {_allowed(first, model)}"
        raise ConfigError(" ".join(line.split())) from None


def _key(place: tuple[Any, ...], content: Any) -> str:
    """The key as it stands in the file: pydantic's place also names the chosen member of a union."""
    parts = []
    for part in place:
        inside = part in content if isinstance(content, dict) else isinstance(part, int)
        if inside or part == place[-1]:
            parts.append(str(part))
        if inside and isinstance(content, dict | list):
            content = content[part]
    return ".".join(parts) or "the file"


def said(error: Mapping[str, object]) -> str:
    """Of one of pydantic's errors, the message; of a validator's own, without pydantic's words before it."""
    return str(error["msg"]).removeprefix("Value error, ")


def _allowed(error: Any, model: type[Config]) -> str:
    if error["type"] != "extra_forbidden":
        return said(error)
    here: Any = model
    for part in error["loc"][:-1]:
        here = _member(here, part)
    return f"unknown key: allowed is {', '.join(here.model_fields)}"


def _member(kind: Any, part: str | int) -> Any:
    """The type found one step into `kind`: a field of a model, an item of a tuple, or the tagged member of a union."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(part, int):
        return get_args(kind)[0]
    if hasattr(kind, "model_fields"):
        return kind.model_fields[part].annotation
    return next(m for m in get_args(kind) if any(part in get_args(f.annotation) for f in m.model_fields.values()))
