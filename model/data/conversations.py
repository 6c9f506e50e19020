"""Conversations of the `sft` corpus as sequences (report section 4.2)."""

from __future__ import annotations

from dataclasses import replace

from wavemill.model.data.corpus import Conversation, Spoken
from wavemill.model.data.document import Document, document
from wavemill.model.prompt.layout import Format, Layout, Message, Reply, Role
from wavemill.model.prompt.text import TextTokenizer


def conversation_document(
    conversation: Conversation, text: TextTokenizer, form: Format, turn: int = 0
) -> Document:
    """Return the sequence of a conversation; the loss counts what the assistant says.

    Differs from the published fine-tuning in one thing: speech of the assistant has no acoustic
    features. There, the network would be shown the sound that it is to predict, which it cannot
    have when it speaks. Raises LayoutError for what cannot be laid out.
    """
    messages = [message_of(message, text) for message in conversation.messages]
    speaks = any(m.role == Role.ASSISTANT and m.codes is not None for m in messages)
    reply = Reply.BOTH if speaks else Reply.TEXT
    layout = form.layout(messages, reply, ask=False, teach=True)
    heard = [m for m in conversation.messages if m.sound is not None and m.text is None]
    layout = replace(layout, continuous=_heard_by_user(layout, [m.role for m in heard]))
    sounds = [m.sound for m in heard if m.sound is not None and m.role == Role.USER]
    return document(
        conversation.sample_id, conversation.task, layout, sounds, form.vocabulary.pad, turn
    )


def message_of(message: Spoken, text: TextTokenizer) -> Message:
    """Return a message in the ids of a text tokenizer."""
    return Message(
        Role(message.role),
        None if message.text is None else tuple(text.encode(message.text)),
        None if message.sound is None else tuple(message.sound.codes.tolist()),
    )


def _heard_by_user(layout: Layout, roles: list[str]) -> tuple[bool, ...]:
    """Return `continuous` without the runs of the assistant; `roles` has one role a run."""
    marks, run = [], -1
    for at, mark in enumerate(layout.continuous):
        run += mark and not (at and layout.continuous[at - 1])
        marks.append(mark and roles[run] == Role.USER)
    return tuple(marks)
