"""Text tokenizers: from text to ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from wavemill.model.io.folders import WeightsError
from wavemill.model.prompt import whisper_bpe

RANKS_FILE = "tiktoken.model"  # of the published model: Qwen2.5's byte pairs
TOKENIZERS_FILE = "tokenizer.json"  # of a text LLM, read by the package `tokenizers`
BROKEN = "\N{REPLACEMENT CHARACTER}"  # the end of a text whose last character is not complete
BYTES = 256  # a vocabulary of this size is UTF-8 itself
# How Qwen2.5 cuts text before it merges bytes.
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class TextTokenizer(Protocol):
    """Encodes text; the names of special tokens in it are plain text."""

    @property
    def vocab_size(self) -> int:
        """Ids are from 0 to vocab_size - 1."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; invalid UTF-8 becomes replacement characters."""
        ...


class TextStream:
    """The text of ids that come one by one: the pieces add up to the text of all of them.

    What has been returned is not decoded again, so that a long text costs no more by the id.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        # Of the piece before and of the next one: some tokenizers strip the start of a text.
        self._before: list[int] = []
        self._next: list[int] = []

    def push(self, id_: int) -> str:
        """Return what an id adds; nothing while its last character is not complete."""
        self._next.append(id_)
        new = self.rest()
        if new.endswith(BROKEN):
            return ""
        if new:
            self._before, self._next = self._next, []
        return new

    def rest(self) -> str:
        """Return what has not been returned yet, complete or not."""
        before = self._tokenizer.decode(self._before)
        return self._tokenizer.decode(self._before + self._next)[len(before) :]


class Utf8:
    """The bytes of UTF-8."""

    vocab_size = BYTES

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


class BytePairs:
    """Qwen2.5's byte pairs from a file of ranks."""

    def __init__(self, file: Path) -> None:
        from tiktoken import Encoding
        from tiktoken.load import load_tiktoken_bpe

        try:
            ranks = load_tiktoken_bpe(str(file))
            self._encoding = Encoding(
                file.stem, pat_str=QWEN_PATTERN, mergeable_ranks=ranks, special_tokens={}
            )
        except Exception as error:  # of a foreign file; the package raises many kinds
            raise WeightsError(f"{file} is not a file of byte pairs: {error}") from None

    @property
    def vocab_size(self) -> int:
        return self._encoding.n_vocab

    def encode(self, text: str) -> list[int]:
        return self._encoding.encode_ordinary(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self._encoding.decode(list(ids))


class FromTokenizers:
    """A `tokenizer.json`."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the package raises no other kind
            raise WeightsError(f"{file} is not a tokenizer: {error}") from None

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=False))

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def load_text_tokenizer(folder: Path, text_vocab: int) -> TextTokenizer:
    """Return the text tokenizer of a model folder whose text ids are below `text_vocab`.

    If the folder has no tokenizer file, `text_vocab` identifies those that need none: bytes and
    Whisper's. Raises WeightsError when there is not a tokenizer, or it has more ids.
    """
    tokenizer = stored_text_tokenizer(folder)
    if tokenizer is None and text_vocab == BYTES:
        return Utf8()
    if tokenizer is None and text_vocab == whisper_bpe.TEXT_IDS:
        return whisper_bpe.WhisperBpe()
    if tokenizer is None:
        raise WeightsError(
            f"{folder} has no text tokenizer: neither {RANKS_FILE} nor {TOKENIZERS_FILE}"
        )
    if tokenizer.vocab_size > text_vocab:
        raise WeightsError(
            f"{folder}: the text tokenizer has {tokenizer.vocab_size} ids, the model {text_vocab}"
        )
    return tokenizer


def stored_text_tokenizer(folder: Path) -> TextTokenizer | None:
    """Return the tokenizer stored in a folder, or None; raises WeightsError for a broken file."""
    if (folder / RANKS_FILE).is_file():
        return BytePairs(folder / RANKS_FILE)
    if (folder / TOKENIZERS_FILE).is_file():
        return FromTokenizers(folder / TOKENIZERS_FILE)
    return None
