"""Configuration: a profile, then a file, then single values; checked before any work starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from wavemill.pipeline.renamed import (
    Replacement,
    lines_on,
    merged,
    nested,
    with_engines_of_today,
    with_new_names,
)
from wavemill.pipeline.suggestions import suggestion

PROFILES = Path(__file__).parent / "profiles"
LOG = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)


class ConfigModel(BaseModel):
    """A configuration of which some fields had another name, or named engines that are gone."""

    renamed: ClassVar[Mapping[str, str]] = {}  # old name -> new name, both as `--set` takes them
    replaced: ClassVar[Mapping[str, Mapping[str, Replacement]]] = {}  # field -> old engine -> new


class ConfigError(Exception):
    """The configuration is wrong: one line that names the field or the file, and the remedy."""


def load_config(
    model: type[M],
    profile: str = "embedded",
    file: Path | None = None,
    overrides: Sequence[str] = (),
) -> M:
    """Return `model` filled from a profile, a YAML file and overrides such as `a.b=3`, in turn.

    `profile` is the name of a file in `pipeline/profiles` or a path to a YAML file. Raises
    ConfigError.
    """
    values = _current(model, _read_profile(profile))
    if file is not None:
        values = merged(values, _current(model, read_yaml(file)))
    return config_from(model, values, overrides)


def config_over(
    model: type[M], base: Mapping[str, Any], file: Mapping[str, Any], overrides: Sequence[str] = ()
) -> M:
    """Return `model` filled from `base`, what a file has otherwise, and overrides, in turn.

    Raises ConfigError.
    """
    return config_from(model, merged(_current(model, base), _current(model, file)), overrides)


def config_from(model: type[M], values: Mapping[str, Any], overrides: Sequence[str] = ()) -> M:
    """Return `model` filled from values and overrides such as `a.b=3`. Raises ConfigError.

    Fields may have old names; a warning is logged that says the new ones.
    """
    values = _current(model, values)
    told: dict[str, Any] = {}
    for override in overrides:  # together: an engine that is gone, and its settings
        told = merged(told, _parsed(override))
    values = merged(values, _current(model, told))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_one_line(error, model)) from None


def _current(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values under the names that the fields and engines of `model` have now."""
    if not issubclass(model, ConfigModel):
        return dict(values)
    result, used = with_new_names(values, model.renamed)
    for line in lines_on(used):
        LOG.warning("config: %s", line)
    result, gone = with_engines_of_today(result, model.replaced)
    for old, new in gone.items():
        reads = f"{old.partition('.')[0]}.reads"
        LOG.warning(
            "config: %s is gone, %s takes its place; its output is computed anew, from the "
            "original audio unless %s says otherwise",
            *(old, new, reads),
        )
    return result


def profile_names() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def _read_profile(profile: str) -> dict[str, Any]:
    path = PROFILES / f"{profile}.yaml"
    if path.is_file():
        return {"profile": profile, **read_yaml(path)}
    if Path(profile).is_file():
        return {"profile": Path(profile).stem, **read_yaml(Path(profile))}
    raise ConfigError(
        f"--profile: there is no profile {profile!r}; "
        f"there are {', '.join(profile_names())}, or give the path of a YAML file"
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config: {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"--config: {path} holds no mapping of fields at its top")
    return values or {}


def _parsed(override: str) -> dict[str, Any]:
    """Turn `a.b=value` (value as in YAML) into nested dictionaries."""
    name, separator, text = override.partition("=")
    if not separator or not name.strip():
        raise ConfigError(f"--set: {override!r} is not of the form name=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set: the value of {name} is not YAML: {text!r}") from None
    return nested(name.strip(), value)


def _one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Name the first wrong field, what was given and what was wanted, and count the others."""
    first, *others = error.errors(include_url=False)
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        problem = f"there is no such field{suggestion(model, first['loc'])}"
    else:
        problem = f"{first['msg']} (got {first['input']!r})"
    more = f" (and {len(others)} more)" if others else ""
    return f"config: {field}: {problem}{more}"
