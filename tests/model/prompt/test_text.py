from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from wavemill.model.io.folders import WeightsError
from wavemill.model.llm.config import preset
from wavemill.model.prompt.text import (
    BROKEN,
    FromTokenizers,
    TextStream,
    Utf8,
    load_text_tokenizer,
)


@settings(deadline=None)
@given(st.text())
def test_utf8_comes_back(text: str) -> None:
    ids = Utf8().encode(text)
    assert Utf8().decode(ids) == text
    assert all(0 <= id_ < 256 for id_ in ids)


def test_byte_pairs_follow_the_ranks_within_words(tmp_path: Path) -> None:
    ranks = [bytes([value]) for value in range(256)] + [b"th", b" th", b"e "]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(ranks)]
    (tmp_path / "tiktoken.model").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = load_text_tokenizer(tmp_path, text_vocab=259)
    assert tokenizer.encode("the thé") == [256, ord("e"), 257, 0xC3, 0xA9]
    assert tokenizer.decode(tokenizer.encode("the thé<|endoftext|>")) == "the thé<|endoftext|>"


def test_tokenizers_file(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"so": 0, "it": 1, "is": 2}, unk_token="so"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert load_text_tokenizer(tmp_path, text_vocab=3).encode("it is so") == [1, 2, 0]


def test_whispers_byte_pairs_need_no_file(tmp_path: Path) -> None:
    tokenizer = load_text_tokenizer(tmp_path, text_vocab=preset("small").text_vocab)
    ids = tokenizer.encode("Näher, 你好<|endoftext|>")
    assert max(ids) < tokenizer.vocab_size == 50_257
    assert tokenizer.decode(ids) == "Näher, 你好<|endoftext|>"


def test_says_what_is_missing(tmp_path: Path) -> None:
    assert isinstance(load_text_tokenizer(tmp_path, text_vocab=256), Utf8)
    with pytest.raises(WeightsError, match=r"neither tiktoken\.model nor tokenizer\.json"):
        load_text_tokenizer(tmp_path, text_vocab=151_643)
    Tokenizer(WordLevel({"so": 0, "it": 1}, unk_token="so")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(WeightsError, match="the text tokenizer has 2 ids, the model 1"):
        load_text_tokenizer(tmp_path, text_vocab=1)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"tokenizer\.json is not a tokenizer"):
        load_text_tokenizer(tmp_path, text_vocab=3)
    (tmp_path / "tiktoken.model").write_bytes(b"\x00\x01")
    with pytest.raises(WeightsError, match=r"tiktoken\.model is not a file of byte pairs"):
        load_text_tokenizer(tmp_path, text_vocab=3)


@given(st.lists(st.integers(0, 255), max_size=60) | st.text().map(lambda text: [*text.encode()]))
def test_pieces_of_a_text_add_up(ids: list[int]) -> None:
    """Also of ids that are no text; a character comes when it is complete."""
    stream = TextStream(Utf8())
    pieces = []
    for place, id_ in enumerate(ids, 1):
        pieces.append(stream.push(id_))
        whole = Utf8().decode(ids[:place])
        assert "".join(pieces) == whole or whole.endswith(BROKEN)
    assert "".join([*pieces, stream.rest()]) == Utf8().decode(ids)


def test_a_text_in_pieces_keeps_its_spaces(tmp_path: Path) -> None:
    """A tokenizer that strips the start of what it decodes must not do so to every piece."""
    tokenizer = Tokenizer(WordLevel({"\u2581one": 0, "\u2581two": 1, "s": 2}, unk_token="s"))
    tokenizer.decoder = Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    stream = TextStream(FromTokenizers(tmp_path / "tokenizer.json"))
    assert [stream.push(id_) for id_ in (0, 1, 2, 0)] == ["one", " two", "s", " one"]
