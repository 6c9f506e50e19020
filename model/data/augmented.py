"""Augmented conversations: for each turn through the data, drawn anew from the seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from wavemill.model.data.augment import AugmentSettings, Tokenizer, augment
from wavemill.model.data.corpus import Conversation, Sound, Spoken
from wavemill.model.data.sound import SoundError, waveform_of


@dataclass(frozen=True)
class Augmentation:
    """Changes what the user says, and leaves the assistant's speech, the answer, alone.

    To be called for a conversation before it is laid out, since sounds change their length:
    `conversation_document(augmentation(conversation, turn), ...)`.
    """

    settings: AugmentSettings
    tokenizer: Tokenizer  # the one that the corpus was made with
    seed: int = 0

    def __call__(self, conversation: Conversation, turn: int) -> Conversation:
        """Return a conversation as it is heard in the `turn`-th pass through the data.

        It depends on seed, turn and the conversation's id alone, so that a resumed training
        hears the same. Sounds that are not there (a corpus read without audio) or cannot be
        decoded stay as they are.
        """
        key = (self.seed, turn, zlib.crc32(conversation.id.encode()))
        rng = np.random.default_rng(key)
        messages = conversation.messages
        heard = any(m.role == "user" and m.sound is not None for m in messages)
        if heard and rng.random() < self.settings.bare_share:
            messages = tuple(m for m in messages if m.role != "user" or m.sound is not None)
        return replace(conversation, messages=tuple(self._message(m, rng) for m in messages))

    def _message(self, message: Spoken, rng: np.random.Generator) -> Spoken:
        if message.role != "user" or message.sound is None or not message.sound.data:
            return message
        try:
            waveform = augment(waveform_of(message.sound.data), self.settings, rng)
        except SoundError:
            return message
        if not len(waveform):
            return message
        return replace(message, sound=Sound(message.sound.data, self.tokenizer(waveform), waveform))
