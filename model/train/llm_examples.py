"""Held-out items that are answered while a model learns, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from wavemill.model.data.conversations import message_of
from wavemill.model.data.corpus import Conversation, Recording, Sound
from wavemill.model.data.sound import SoundError, waveform_of
from wavemill.model.generate.generate import GenerateSettings, LlmPrompt, NoRoom, generate
from wavemill.model.prompt.layout import Format, Layout, LayoutBuilder, LayoutError
from wavemill.model.prompt.text import TextTokenizer
from wavemill.model.train.learner import Example
from wavemill.model.train.llm_network import LearningLlm

LONGEST = 256  # steps of a reply


@dataclass(frozen=True)
class Asked:
    """A prompt, and what should come."""

    name: str
    prompt: Layout
    sounds: tuple[Sound, ...]
    reference: str


def asked_of_conversation(
    conversation: Conversation, text: TextTokenizer, form: Format
) -> Asked | None:
    """Return a conversation without its last message; None where that is no text."""
    *before, answer = conversation.messages
    if answer.text is None or not before:
        return None
    try:
        prompt = form.layout([message_of(message, text) for message in before])
    except LayoutError:
        return None
    sounds = tuple(m.sound for m in before if m.sound is not None and m.text is None)
    return Asked(conversation.sample_id, prompt, sounds, answer.text)


def asked_of_recording(recording: Recording, form: Format) -> Asked:
    """Return the first segment of a recording, to be written down: the ASR task."""
    first, names = recording.segments[0], form.vocabulary
    streams = LayoutBuilder(names.blank)
    streams.audio([names.media_begin])
    streams.audio([names.audio_offset + int(c) for c in first.sound.codes], continuous=True)
    streams.audio([names.media_end])
    return Asked(first.segment_id, streams.layout(), (first.sound,), first.text)


def decoded(network: LearningLlm, asked: Sequence[Asked], text: TextTokenizer) -> Iterator[Example]:
    """Yield the best answers to prompts; one whose audio or length will not do is left out."""
    settings = GenerateSettings(max_new_tokens=LONGEST)
    for one in asked:
        try:
            waveforms = [waveform_of(sound.data) for sound in one.sounds]
            features = [rows.cpu() for rows in network.acoustic.features(waveforms)]
            sample = LlmPrompt(
                torch.tensor(one.prompt.audio_ids),
                torch.tensor(one.prompt.text_ids),
                torch.tensor(one.prompt.continuous),
                [
                    _as_long_as(rows, sound)
                    for rows, sound in zip(features, one.sounds, strict=True)
                ],
            )
            (result,) = generate(network.llm, [sample], settings)
        except (SoundError, NoRoom):
            continue
        ids = [id_ for id_ in result.text if id_ < network.llm.config.text_vocab]
        yield Example(one.name, one.reference, text.decode(ids))


def _as_long_as(rows: torch.Tensor, sound: Sound) -> torch.Tensor:
    """Return features cut or filled up to a row for each token of the stored ones."""
    missing = max(0, len(sound.codes) - len(rows))
    return torch.nn.functional.pad(rows[: len(sound.codes)], (0, 0, 0, missing))
