"""What a trained LLM gives: answers to held-out prompts, and its model folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wavemill.model.assistant import ACOUSTIC_FOLDER, SEMANTIC_FOLDER
from wavemill.model.data.corpus import Conversation, Recording, Sound
from wavemill.model.data.documents import message_of
from wavemill.model.data.sound import SoundError, waveform_of
from wavemill.model.detokenizer.layout import FLOW_FOLDER, VOCODER_FOLDER
from wavemill.model.engine import Engine, GeneratedReply
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings, NoRoom
from wavemill.model.learnt_from import read_learnt_from, write_learnt_from
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, Layout, LayoutBuilder, LayoutError
from wavemill.model.prompt.text import RANKS_FILE, TOKENIZERS_FILE, TextTokenizer
from wavemill.model.tokenizer import kmeans
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.train.learner import Example

MAX_REPLY_STEPS = 256


@dataclass(frozen=True)
class ExamplePrompt:
    """A held-out prompt and its reference answer."""

    name: str
    prompt: Layout
    sounds: tuple[Sound, ...]
    reference: str


def prompt_of_conversation(
    conversation: Conversation, text: TextTokenizer, form: Format
) -> ExamplePrompt | None:
    """Return a conversation without its last message as a prompt; None if that is not text."""
    *before, answer = conversation.messages
    if answer.text is None or not before:
        return None
    try:
        prompt = form.layout([message_of(message, text) for message in before])
    except LayoutError:
        return None
    sounds = tuple(m.sound for m in before if m.sound is not None and m.text is None)
    return ExamplePrompt(conversation.sample_id, prompt, sounds, answer.text)


def prompt_of_recording(recording: Recording, form: Format) -> ExamplePrompt:
    """Return the first segment of a recording as a prompt of the ASR task."""
    first, names = recording.segments[0], form.vocabulary
    streams = LayoutBuilder(names.blank)
    streams.audio([names.media_begin])
    streams.audio([names.audio_offset + int(c) for c in first.sound.codes], continuous=True)
    streams.audio([names.media_end])
    return ExamplePrompt(first.segment_id, streams.layout(), (first.sound,), first.text)


def decoded(
    llm: AudioLlm,
    acoustic: AcousticEncoder,
    prompts: Sequence[ExamplePrompt],
    text: TextTokenizer,
) -> Iterator[Example]:
    """Yield the greedy answers to prompts, leaving out those with bad audio or too long."""
    settings, engine = GenerateSettings(max_new_tokens=MAX_REPLY_STEPS), Engine(llm)
    replies: dict[int, tuple[ExamplePrompt, GeneratedReply]] = {}
    for one in prompts:
        try:
            waveforms = [waveform_of(sound.data) for sound in one.sounds]
            features = [
                _as_long_as(rows.cpu(), sound)
                for rows, sound in zip(acoustic.features(waveforms), one.sounds, strict=True)
            ]
            handle = engine.add(LlmPrompt.of(one.prompt, features), settings)
        except (SoundError, NoRoom):
            continue
        replies[handle] = one, GeneratedReply()
    while engine.busy:
        for piece in engine.step():
            replies[piece.handle][1].add(piece.step)
    for one, reply in replies.values():
        ids = [id_ for id_ in reply.text if id_ < llm.config.text_vocab]
        yield Example(one.name, one.reference, text.decode(ids))


def _as_long_as(rows: torch.Tensor, sound: Sound) -> torch.Tensor:
    """Return features cut or filled up with zeros to one row per stored token."""
    missing = max(0, len(sound.codes) - len(rows))
    return torch.nn.functional.pad(rows[: len(sound.codes)], (0, 0, 0, missing))


COPIED_FOLDERS = (FLOW_FOLDER, VOCODER_FOLDER, SEMANTIC_FOLDER, kmeans.FOLDER)


def export_llm(
    llm: AudioLlm,
    acoustic: AcousticEncoder,
    folder: Path,
    init: Path | None,
    semantic: Path | None,
    recordings: Iterable[str] = (),
) -> None:
    """Write the trained networks, and what `init` has beside them: detokenizer, tokenizers.

    `semantic` is the folder of the tokenizer that the corpus was made with; it replaces that of
    `init`. `recordings` are the ids of the recordings of this training; those that `init` was
    trained on are added to them. The folder appears complete or not at all.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    llm.save_pretrained(partial)
    acoustic.save_pretrained(partial / ACOUSTIC_FOLDER)
    for name in (RANKS_FILE, TOKENIZERS_FILE):
        if init is not None and (init / name).is_file():
            shutil.copyfile(init / name, partial / name)
    for name in COPIED_FOLDERS:
        if init is not None and (init / name).is_dir():
            shutil.copytree(init / name, partial / name)
    if semantic is not None:
        for name in (SEMANTIC_FOLDER, kmeans.FOLDER):
            shutil.rmtree(partial / name, ignore_errors=True)
        named = (semantic / kmeans.CODEBOOK_FILE).is_file()
        shutil.copytree(semantic, partial / (kmeans.FOLDER if named else SEMANTIC_FOLDER))
    before = read_learnt_from(init) if init is not None else frozenset()
    write_learnt_from(partial, before.union(recordings))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
