"""What a build was asked for is remembered, for `wavemill refresh`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wavemill.pipeline.config import ConfigError, config_from
from wavemill.pipeline.curation import Config
from wavemill.pipeline.request import REQUEST, remember, remembered
from wavemill.pipeline.store import Store


def test_sources_are_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open(tmp_path / "work")
    remember(store, ["in", "../up.jsonl", "/abs/x", "s3://bucket/in"], {}, "1")
    parent = os.fspath(tmp_path.parent)
    found = remembered(store)
    assert found.sources == [f"{tmp_path}/in", f"{parent}/up.jsonl", "/abs/x", "s3://bucket/in"]
    assert found.wavemill == "1"


def test_a_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    config = config_from(Config, {}, ["shard_seconds=7", "execution.executor=inline"])
    remember(store, [], config.model_dump(mode="json"), "1")
    assert config_from(Config, remembered(store).config) == config
    changed = config_from(Config, remembered(store).config, ["shard_seconds=8"])
    assert changed == config.model_copy(update={"shard_seconds": 8.0})


@pytest.mark.parametrize("text", ["", "{", '{"other": 1}', "[]"])
def test_a_damaged_request_says_what_renews_it(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write_text(REQUEST, text)
    with pytest.raises(ConfigError, match="wavemill curate renews it"):
        remembered(store)


def test_without_a_request_there_is_a_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wavemill curate SOURCE"):
        remembered(Store.open(tmp_path))
