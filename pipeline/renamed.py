"""Fields and engines that had another name or are gone: what was written with them goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFIG_FORMAT = 4  # of saved configurations; raised with every field or engine that is renamed
# Saved configurations hold every field. One of a format below the number lacks these, and what was
# built with it had these values, whatever the default is now.
BEFORE: dict[int, dict[str, Any]] = {
    3: {"diarize": {"reads": "enhanced"}, "transcribe": {"reads": "enhanced"}},
}
_OF_DECODING = (  # fields that stood in section denoise, when that stage decoded, too
    *("channels", "max_sample_rate", "block_seconds"),
    *("missing_ms", "jitter_ms", "gap_ms", "tail_ms", "max_damage_ratio", "silence_dbfs"),
    *("min_source_rate", "max_source_rate", "max_source_channels", "min_bit_rate"),
)
RENAMED = {  # old name -> new name, both as `--set` takes them
    "version": "audio_version",
    "filter.raw": "filter.asr",
    "filter.audio.snr": "filter.signal.snr",
    "filter.audio.clipping": "filter.signal.clipping",
    **{f"denoise.{name}": f"decode.{name}" for name in _OF_DECODING},
}
# Engines that are gone, by the field that names them -> what took their place. Settings of their
# own, in the section of their name beside the field, mean nothing to another engine.
REPLACED = {"diarize.engine": {"silero": "campplus"}}


def with_new_names(
    values: Mapping[str, Any], renamed: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return nested values under the new names, and which old names they had (old -> new).

    Where both names are given, fields under the new one win.
    """
    result, used = dict(values), {}
    for old, new in renamed.items():
        *path, last = old.split(".")
        if (section := _section(result, path)) is not None and last in section:
            used[old] = new
            result = without(result, old)
            result = merged(nested(new, section[last]), result)
    return result, used


def lines_on(used: Mapping[str, str]) -> list[str]:
    """Return what to say of old names (old -> new): one line for fields that moved together."""
    together: dict[tuple[str, str], list[str]] = {}
    for old, new in used.items():
        (section, _, name), (target, _, last) = old.rpartition("."), new.rpartition(".")
        together.setdefault((section, target) if name == last else (old, new), []).append(old)
    return [
        f"{names[0]} is now called {used[names[0]]}"
        if len(names) == 1
        else f"{len(names)} fields of {section} now stand in {target}: "
        + ", ".join(name.rpartition(".")[2] for name in names)
        for (section, target), names in together.items()
    ]


def with_engines_of_today(
    values: Mapping[str, Any], replaced: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return nested values without engines that are gone, and what was replaced.

    The latter as `diarize.engine silero` -> the engine of today.
    """
    result, used = dict(values), {}
    for name, engines in replaced.items():
        *path, last = name.split(".")
        for old, new in engines.items():
            section = _section(result, path) or {}
            if section.get(last) == old:
                used[f"{name} {old}"] = new
                result = merged(result, nested(name, new))
            if old in section:
                result = without(result, ".".join([*path, old]))
    return result, used


def as_it_was(values: Mapping[str, Any], config_format: int) -> dict[str, Any]:
    """Return a saved configuration with the fields that did not exist yet in its format."""
    result = dict(values)
    for newer, fields in BEFORE.items():
        if config_format < newer:
            result = merged(fields, result)
    return result


def nested(name: str, value: Any) -> dict[str, Any]:
    """Return nested dictionaries that hold `value` under a name such as `a.b`."""
    for part in reversed(name.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, section by section; a field of `other` wins."""
    result = dict(base)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return nested values without the field of a name such as `a.b`, which is there."""
    first, _, rest = name.partition(".")
    left = {key: value for key, value in values.items() if key != first}
    return {**left, first: without(values[first], rest)} if rest else left


def _section(values: Any, path: list[str]) -> Mapping[str, Any] | None:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values if isinstance(values, Mapping) else None
