"""Text ids: those of Whisper, without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT
from wavemill.stages.engine import EngineConfig
from wavemill.stages.tokenize_text.whisper_bpe import WhisperBpe

TEXTS = [
    "",
    "Hello, world! It's 5 o'clock.",
    "这并不是告别，这是一个篇章的结束。",
    "  spaces\tand\nlines ",
    "naïve café 😀 \u200b",
    "x" * 500,
]


@pytest.fixture(scope="module")
def engine() -> WhisperBpe:
    loaded = WhisperBpe(EngineConfig())
    loaded.load("cpu")
    return loaded


def test_ids_are_those_of_whisper(engine: WhisperBpe) -> None:
    from whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(multilingual=True)
    assert engine.encode(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert engine.vocab_size == tokenizer.encoding.n_vocab


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_undoes_encoding(engine: WhisperBpe, text: str) -> None:
    assert engine.decode(engine.encode([text])[0]) == text


def test_what_looks_like_a_special_token_is_text(engine: WhisperBpe) -> None:
    text = "the end <|endoftext|> or not <|en|>"
    ids = engine.encode([text])[0]
    first_special = 50257
    assert max(ids) < first_special
    assert engine.decode(ids) == text


def test_neither_whisper_nor_torch_is_imported() -> None:
    code = (
        "import sys; from wavemill.stages.engine import EngineConfig\n"
        "from wavemill.stages.tokenize_text.whisper_bpe import WhisperBpe\n"
        "w = WhisperBpe(EngineConfig()); w.load('cpu'); w.encode(['a'])\n"
        "print({'whisper', 'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "set()"
