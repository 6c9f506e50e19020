"""Profiles, files and single values; errors name the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from wavemill.pipeline.config import ConfigError, load_config


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int = 1
    name: str = "x"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    profile: str = ""
    inner: Inner = Inner()
    flag: bool = False


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text("inner: {number: 5, name: profile}\n", encoding="utf-8")
    return str(path)


def test_later_wins(profile: str, tmp_path: Path) -> None:
    file = tmp_path / "changes.yaml"
    file.write_text("inner:\n  name: file\n", encoding="utf-8")
    config = load_config(Outer, profile, file, ["inner.number=7", "flag=true"])
    assert config == Outer(profile="mine", inner=Inner(number=7, name="file"), flag=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner.number=many", "config: inner.number: "),
        ("inner.numbr=1", "config: inner.numbr: there is no such field"),
        ("inner.number", "--set: 'inner.number' is not of the form name=value"),
        ("inner.name=[1", "--set: the value of inner.name is not YAML"),
        ("inner=3", "config: inner: "),
    ],
)
def test_errors_name_the_field(profile: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        load_config(Outer, profile, None, [override])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n"])
def test_a_bad_file_is_one_line(profile: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^--config: [^\n]*bad.yaml[^\n]*$"):
        load_config(Outer, profile, file)


def test_a_missing_file_and_an_unknown_profile(profile: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-file"):
        load_config(Outer, profile, tmp_path / "no-such-file")
    with pytest.raises(ConfigError, match="no profile 'bogus'"):
        load_config(Outer, "bogus")


def test_the_embedded_profile_states_the_defaults() -> None:
    from wavemill.pipeline.curation import Config

    assert load_config(Config) == Config()
