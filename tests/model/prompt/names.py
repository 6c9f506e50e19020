"""The names of special tokens."""

from __future__ import annotations

from wavemill.model.prompt.layout import NAMED, Vocabulary


def special_tokens(vocabulary: Vocabulary) -> list[str]:
    """Return the names of all special tokens; the i-th has id `text_tokens` + i."""
    names, reserved = [], 0
    for index in range(vocabulary.audio_offset - vocabulary.text_tokens):
        if index in NAMED:
            names.append(NAMED[index])
        else:
            names.append(f"<|reserved_token_{reserved}|>")
            reserved += 1
    return names
