"""Ids: text first, then special tokens, then audio codes."""

from __future__ import annotations

from dataclasses import dataclass

# The special tokens that have a use or a name of their own, by their index in the list of special
# tokens; every other index is a reserved token (docs/published-format.md).
NAMED = {
    0: "[BOS]",
    1: "[EOS]",
    2: "<|im_msg_end|>",
    3: "<|im_user_msg_start|>",
    4: "<|im_assistant_msg_start|>",
    9: "[EOT]",
    18: "<|im_media_begin|>",
    20: "<|im_media_end|>",
    23: "<|im_kimia_text_blank|>",
    24: "<|im_kimia_text_eos|>",
    27: "<|im_kimia_user_msg_start|>",
    28: "<|im_kimia_assistant_msg_start|>",
    32: "<|im_kimia_speech_ct_id|>",
    33: "<|im_kimia_speech_ctd_id|>",
}
SMALLEST_LIST = max(NAMED) + 2  # special tokens: the named ones, and one to pad with


@dataclass(frozen=True)
class Vocabulary:
    """Where ids begin; the defaults are the published model's.

    `text` ids are those below `text_tokens`, special ids lie between it and `audio_offset`, and
    audio code c has id `audio_offset` + c.
    """

    text_tokens: int = 151_643
    audio_offset: int = 152_064

    def __post_init__(self) -> None:
        if self.audio_offset - self.text_tokens < SMALLEST_LIST:
            raise ValueError(f"there must be at least {SMALLEST_LIST} special tokens")

    @property
    def msg_end(self) -> int:
        """Ends a run of messages of one role (audio stream); stops the audio head."""
        return self.text_tokens + 2

    @property
    def media_begin(self) -> int:
        """Opens an audio segment (audio stream)."""
        return self.text_tokens + 18

    @property
    def media_end(self) -> int:
        """Closes an audio segment (audio stream); stops the audio head."""
        return self.text_tokens + 20

    @property
    def blank(self) -> int:
        """Fills either stream where only the other one says something."""
        return self.text_tokens + 23

    @property
    def text_eos(self) -> int:
        """Ends the assistant's text (text stream)."""
        return self.text_tokens + 24

    @property
    def user(self) -> int:
        """Opens a run of the user's messages (audio stream)."""
        return self.text_tokens + 27

    @property
    def assistant(self) -> int:
        """Opens a run of the assistant's messages (audio stream)."""
        return self.text_tokens + 28

    @property
    def reply_text(self) -> int:
        """After a run that ends with audio: the reply should be text ("CT", audio stream)."""
        return self.text_tokens + 32

    @property
    def reply_both(self) -> int:
        """After a run that ends with audio: the reply should be text and speech ("CTD")."""
        return self.text_tokens + 33

    @property
    def pad(self) -> int:
        """The last special id: fills batches and the last label."""
        return self.audio_offset - 1

    @property
    def stops_audio(self) -> tuple[int, int]:
        return self.msg_end, self.media_end

    def special_tokens(self) -> list[str]:
        """Return the names of all special tokens; the i-th has id `text_tokens` + i."""
        names, reserved = [], 0
        for index in range(self.audio_offset - self.text_tokens):
            if index in NAMED:
                names.append(NAMED[index])
            else:
                names.append(f"<|reserved_token_{reserved}|>")
                reserved += 1
        return names
