"""The batched greedy decoder beside the package's own, on random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.decoding import ApplyTimestampRules, DecodingOptions
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from tests.stages.transcribe.whisper_models import MULTILINGUAL, random_checkpoint
from wavemill.stages.transcribe.whisper_batch import (
    BatchTask,
    BatchTimestampRules,
    Running,
    decode_batch,
)
from wavemill.stages.transcribe.whisper_weights import load_model

TOKENIZER = get_tokenizer(True, language="en", task="transcribe")
BEGIN = TOKENIZER.timestamp_begin
START = len(TOKENIZER.sot_sequence)
OPTIONS = DecodingOptions(fp16=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    path = random_checkpoint(tmp_path_factory.mktemp("weights") / "random.pt")
    return load_model(str(path), None, "cpu")


def features(count: int) -> torch.Tensor:
    """Return encoder output that differs between windows as a whole: attention takes means."""
    generator = torch.Generator().manual_seed(1)
    whole = 10 * torch.randn(count, 1, 16, generator=generator)
    return whole + torch.randn(count, 1500, 16, generator=generator)


@st.composite
def sequences(draw: st.DrawFn) -> torch.Tensor:
    """Windows of one length: text, rising timestamps, and ends, in any order."""
    length = draw(st.integers(0, 6))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row, latest = list(TOKENIZER.sot_sequence), BEGIN
        for _ in range(length):
            kind = draw(st.sampled_from(["text", "stamp", "eot"]))
            if kind == "stamp":
                latest = min(latest + draw(st.integers(0, 700)), BEGIN + 1500)
                row.append(latest)
            else:
                row.append(TOKENIZER.eot if kind == "eot" else draw(st.integers(0, 50_000)))
        rows.append(row)
    return torch.tensor(rows)


@settings(max_examples=40, deadline=None)
@given(sequences(), st.integers(0, 1000), st.sampled_from([None, 0, 50]))
def test_timestamp_rules_are_those_of_the_package(
    tokens: torch.Tensor, seed: int, latest_first: int | None
) -> None:
    logits = torch.randn(len(tokens), MULTILINGUAL, generator=torch.Generator().manual_seed(seed))
    logits[::2, BEGIN:] += 6  # in some, timestamps are the likeliest
    expected = logits.clone()
    ApplyTimestampRules(TOKENIZER, START, latest_first).apply(expected, tokens)
    BatchTimestampRules(TOKENIZER, START, latest_first).apply(logits, tokens)
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("without_timestamps", [False, True])
def test_tokens_are_those_of_the_package(model: Whisper, without_timestamps: bool) -> None:
    encoded = features(6)
    languages = ["en", "zh", "de", "en", "zh", "ja"]
    options = DecodingOptions(fp16=False, without_timestamps=without_timestamps)
    found = decode_batch(model, encoded, languages, options)
    for one, window, language in zip(found, encoded, languages, strict=True):
        alone = model.decode(
            window,
            DecodingOptions(fp16=False, without_timestamps=without_timestamps, language=language),
        )
        assert (one.tokens, one.text, one.language) == (alone.tokens, alone.text, language)
        assert one.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-4)
        assert one.no_speech_prob == pytest.approx(alone.no_speech_prob, rel=1e-3)
    assert len({tuple(one.tokens) for one in found}) > 1


def test_a_beam_is_the_package_s_own(model: Whisper) -> None:
    encoded = features(2)
    found = decode_batch(model, encoded, ["en", "zh"], DecodingOptions(fp16=False, beam_size=2))
    alone = model.decode(encoded[1], DecodingOptions(fp16=False, beam_size=2, language="zh"))
    assert [one.language for one in found] == ["en", "zh"]
    assert found[1].tokens == alone.tokens


def test_windows_that_are_finished_leave_the_batch(
    model: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends are forced at step 2 for four windows of six, at step 5 for one more."""
    encoded = features(6)
    ends = {0: 2, 1: 2, 3: 2, 5: 2, 2: 5}
    sizes: list[int] = []
    rows = [0, 1, 2, 3, 4, 5]
    task = BatchTask(model, ["en"] * 6, OPTIONS)
    free = task.run(encoded)
    update = task.decoder.update

    def forced(tokens: torch.Tensor, logits: torch.Tensor, sums: torch.Tensor):  # type: ignore[no-untyped-def]
        sizes.append(len(tokens))
        for place, row in enumerate(rows):
            if tokens.shape[1] - task.sample_begin == ends.get(row):
                logits[place] = -torch.inf
                logits[place, TOKENIZER.eot] = 0.0
        return update(tokens, logits, sums)

    shrink = Running.shrink

    def spied(self: Running, cache: dict) -> None:  # type: ignore[type-arg]
        shrink(self, cache)
        rows[:] = self._rows.tolist()

    monkeypatch.setattr(task.decoder, "update", forced)
    monkeypatch.setattr(Running, "shrink", spied)
    found = task.run(encoded)
    assert sizes[:7] == [6, 6, 6, 2, 2, 2, 1]
    for row, (cut, whole) in enumerate(zip(found, free, strict=True)):
        assert cut.tokens == whole.tokens[: ends.get(row)]


def test_rules_of_unknown_kind_are_kept(model: Whisper) -> None:
    kinds = [type(rule).__name__ for rule in BatchTask(model, ["en"], OPTIONS).logit_filters]
    assert kinds == ["SuppressBlank", "SuppressTokens", "BatchTimestampRules"]


def test_english_only_models_have_no_language_token(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "en.pt", vocabulary=51_864)
    english = load_model(str(path), None, "cpu")
    (found,) = decode_batch(english, features(1), ["en"], OPTIONS)
    alone = english.decode(features(1)[0], DecodingOptions(fp16=False, language="en"))
    assert found.tokens == alone.tokens
