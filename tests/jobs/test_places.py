"""What a command line names must mean the same from every folder: workers have others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.models import ArgumentInfo, OptionInfo

from wavemill.jobs import places
from wavemill.jobs.cli import COMMANDS

# Options and arguments of text that name no place, by their Python names.
NO_PLACES = {
    "overrides", "address", "executor", "patterns", "reason", "recording", "host", "table", "name",
    "subset", "split", "task", "label", "class_name", "served", "device", "instruction", "say",
    "speaker", "words", "training", "form", "license", "rules", "voice_text", "store",
}  # fmt: skip


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command there is, by name."""
    for name, place in COMMANDS.items():
        found = place.found()
        if not isinstance(found, typer.Typer):
            yield name, found
            continue
        for command in found.registered_commands:
            assert command.callback is not None
            yield f"{name} {command.name or command.callback.__name__}", command.callback


def parameters() -> Iterator[tuple[str, str, Any, Any]]:
    """Yield (command, parameter, its type, typer's description) of every command there is."""
    for name, function in functions():
        hints = get_type_hints(function, include_extras=True)
        hints.pop("return")
        for parameter, hint in hints.items():
            kind, *told = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            described = [one for one in told if isinstance(one, OptionInfo | ArgumentInfo)]
            yield f"wavemill {name}", parameter, kind, described


def test_every_option_that_names_a_place_makes_it_absolute() -> None:
    anchored, wrong = 0, []
    for command, name, kind, described in parameters():
        parsers = [one.parser for one in described if one.parser is not None]
        if parsers:
            assert parsers[0].__module__ == places.__name__
            anchored += 1
        elif "Path" in str(kind):
            wrong.append(f"{command}: {name} is a path of no parser in jobs/places.py")
        elif kind in (str, str | None, list[str], list[str] | None) and name not in NO_PLACES:
            wrong.append(f"{command}: {name}: a place? then jobs/places.py, else NO_PLACES here")
    assert wrong == []
    assert anchored > 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


URLS = ["s3://bucket/a", "gs://b/c d", "s3://b/w?endpoint_override=m:9000&scheme=http",
        "http://localhost:8000/v1", "memory://x"]  # fmt: skip


def test_names_become_absolute_and_urls_stay(home: Path) -> None:
    for made in (places.place, places.model, places.named):
        assert made("work/a") == str(home / "here" / "work/a") or made is places.model
        assert made("./work") == str(home / "here" / "work")
        assert made("~/work") == str(home / "home" / "work")
        assert made(f"file://{home}/x%20y") == f"{home}/x y"
        assert [made(url) for url in URLS] == URLS
    assert places.place("work") == str(home / "here" / "work")
    assert places.place("[v2]?%23#") == str(home / "here" / "[v2]?%23#")
    assert places.path("a/b") == home / "here" / "a/b"
    assert places.path(Path("a")) == home / "here" / "a"


def test_hub_ids_and_names_of_what_ships_are_no_paths(home: Path) -> None:
    assert places.model("owner/name") == "owner/name"
    (home / "here" / "run" / "model").mkdir(parents=True)
    assert places.model("run/model") == str(home / "here" / "run" / "model")
    assert places.named("tiny") == "tiny"


@pytest.mark.parametrize("made", [places.place, places.path, places.model, places.folder])
def test_an_empty_name_is_not_the_current_folder(made: Any) -> None:
    with pytest.raises(typer.BadParameter, match="empty"):
        made("")


def test_what_must_be_here_is_no_url_and_a_folder_is_no_file(home: Path) -> None:
    for url in URLS:
        with pytest.raises(typer.BadParameter, match="not on this machine"):
            places.path(url)
    (home / "file").touch()
    with pytest.raises(typer.BadParameter, match="is a file"):
        places.folder(home / "file")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_once_is_enough(name: str) -> None:
    first = places.place(name)
    assert places.place(first) == first
