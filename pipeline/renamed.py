"""Fields and engines that had another name or are gone: what was written with them goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONFIG_FORMAT = 5  # of saved configurations; raised with every field or engine that is renamed
# Saved configurations hold every field. One of a format below the number lacks these, and what was
# built with it had these values, whatever the default is now. A stage whose engine is gone is
# computed anew anyway, with today's defaults: they are those of the engine that takes its place.
BEFORE: dict[int, dict[str, Any]] = {
    3: {"diarize": {"reads": "enhanced"}, "transcribe": {"reads": "enhanced"}},
    5: {"diarize": {"campplus": {"speech": "silero"}}},
}
_OF_DECODING = (  # fields that stood in section denoise, when that stage decoded, too
    *("channels", "max_sample_rate", "block_seconds"),
    *("missing_ms", "jitter_ms", "gap_ms", "tail_ms", "max_damage_ratio", "silence_dbfs"),
    *("min_source_rate", "max_source_rate", "max_source_channels", "min_bit_rate"),
)
# Settings that one of a format below the number has and that are gone from a section that stayed.
GONE = {
    4: tuple(
        f"transcribe.by_language.whisper.{name}"  # of a decoder of PyTorch's weights
        for name in (
            *("download_root", "batch_size", "one_encoding", "temperatures", "beam_size"),
            *("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "best_of"),
            *("condition_on_previous_text", "word_timestamps", "seed"),
        )
    )
}
RENAMED = {  # old name -> new name, both as `--set` takes them
    "version": "audio_version",
    "filter.raw": "filter.asr",
    "filter.audio.snr": "filter.signal.snr",
    "filter.audio.clipping": "filter.signal.clipping",
    **{f"denoise.{name}": f"decode.{name}" for name in _OF_DECODING},
    "transcribe.faster_whisper.min_english_confidence": "transcribe.faster_whisper.min_confidence",
}


@dataclass(frozen=True)
class Replacement:
    """The engine that took the place of another.

    `kept`: settings that mean the same in both, with the values that they had by default. What
    else stands in the old engine's section means nothing to the new one.
    """

    engine: str
    kept: Mapping[str, Any] = field(default_factory=dict)


# Engines that are gone, by the field that names them. Their settings stand beside it, in a section
# of their name.
REPLACED = {
    "diarize.engine": {"silero": Replacement("campplus")},
    "transcribe.engine": {
        "pocketsphinx": Replacement("faster_whisper"),
        "whisper": Replacement("faster_whisper", {"model": "large-v3"}),
    },
}


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
    values: Mapping[str, Any], replaced: Mapping[str, Mapping[str, Replacement]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return nested values without engines that are gone, and what was replaced.

    The latter as `diarize.engine silero` -> the engine of today.
    """
    result, used = dict(values), {}
    for name, engines in replaced.items():
        *path, last = name.split(".")
        for old, new in engines.items():
            section = _section(result, path) or {}
            own = section.get(old)
            if section.get(last) == old:
                used[f"{name} {old}"] = new.engine
                told = {key: (own or {}).get(key, value) for key, value in new.kept.items()}
                chosen = {last: new.engine, **({new.engine: told} if told else {})}
                result = merged(result, nested(".".join(path), chosen))
            if old in section:
                result = without(result, ".".join([*path, old]))
    return result, used


def as_it_was(values: Mapping[str, Any], config_format: int) -> dict[str, Any]:
    """Return a saved configuration with the fields that its format lacks, without gone ones."""
    result = dict(values)
    for newer, fields in BEFORE.items():
        if config_format < newer:
            kept = {name: own for name, own in fields.items() if not _engine_is_gone(values, name)}
            result = merged(kept, result)
    for name in (name for newer, names in GONE.items() if config_format < newer for name in names):
        *path, last = name.split(".")
        if last in (_section(result, path) or {}):
            result = without(result, name)
    return result


def _engine_is_gone(values: Mapping[str, Any], section: str) -> bool:
    chosen = (_section(values, [section]) or {}).get("engine")
    return chosen in REPLACED.get(f"{section}.engine", {})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under their dotted names, as `--set` takes them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


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
