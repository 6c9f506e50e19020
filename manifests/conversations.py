"""Written conversations: one object of JSON each, in the three shapes that people have.

`messages` (role, content), `conversations` (from, value; ShareGPT), and `instruction`, `input`,
`output` (Alpaca), with `prompt` and `response` as other names. A conversation is a recording that
nobody has spoken yet: its id is the hash of its messages, its items are the messages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from wavemill.manifests.languages import language_code
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.recording import Item, MessageOf, Recording
from wavemill.manifests.values import is_missing, read_name

ID_DIGITS = 32
MS_PER_CHARACTER = 70  # of English that is read aloud; only shares work out among workers
_LISTS = ("messages", "conversations", "conversation")
_PROMPTS, _ANSWERS = ("instruction", "prompt"), ("output", "response", "completion")
_ROLES = {
    MessageOf.SYSTEM: ("system", "developer"),
    MessageOf.USER: ("user", "human", "prompter"),
    MessageOf.ASSISTANT: ("assistant", "gpt", "bot", "model", "chatbot", "ai"),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_LANGUAGE, _LICENCE = ("language", "lang"), ("license", "licence")
_KNOWN = frozenset({*_LISTS, *_PROMPTS, *_ANSWERS, *_LICENCE, "input", "history", "split"})
_AUDIO = ("audio", "audio_filepath", "audios")

Message = tuple[MessageOf, str]


def is_conversation(line: Mapping[str, Any]) -> bool:
    """Whether the fields are those of a written conversation; one that has audio is none."""
    if any(not is_missing(line.get(name)) for name in _AUDIO):
        return False
    return _listed(line) is not None or (
        _first(line, _PROMPTS) is not None and _first(line, _ANSWERS) is not None
    )


def parse_conversation(line: Mapping[str, Any], uri: str) -> Recording:
    """Return a conversation as a recording without sound; see `Recording.written`.

    Fields that have no place, `id` among them, go to `metadata`. Raises EntryError
    (`bad_conversation`, and `bad_field` for language, licence or split).
    """
    name = _listed(line)
    found = list(_of_list(line[name]) if name is not None else _of_fields(line))
    messages = _checked(found)
    language, licence = _named(line, _LANGUAGE), _named(line, _LICENCE)
    code = None if language is None else language_code(language)
    taken = _KNOWN if code is None else _KNOWN | set(_LANGUAGE)
    extra = {key: value for key, value in line.items() if key not in taken}
    return conversation(messages, uri, code, licence, _named(line, ("split",)), _json(extra))


def conversation(
    messages: list[Message],
    uri: str,
    language: str | None = None,
    licence: str | None = None,
    split: str | None = None,
    metadata: str = "{}",
) -> Recording:
    """Return checked messages as a recording; times are guesses of how long each takes to say."""
    dialogue_id = _digest([[role, text] for role, text in messages])
    items, start_ms = [], 0
    for number, (role, text) in enumerate(messages):
        end_ms = start_ms + MS_PER_CHARACTER * len(text)
        key = _digest([dialogue_id, number])
        items.append(
            Item(key, start_ms, end_ms, role, text, language=language, license=licence, split=split)
        )
        start_ms = end_ms
    return Recording(
        recording_id=dialogue_id,
        uri=uri,
        duration_ms=start_ms,
        language=language,
        license=licence,
        split=split,
        metadata=metadata,
        items=tuple(items),
    )


def _listed(line: Mapping[str, Any]) -> str | None:
    """Return the field that holds the messages as a list."""
    return next((name for name in _LISTS if isinstance(line.get(name), list)), None)


def _first(line: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((line[name] for name in names if isinstance(line.get(name), str)), None)


def _of_list(entries: list[Any]) -> Iterator[tuple[Any, Any]]:
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise _bad(f"a message is {type(entry).__name__}, and no object")
        role = entry.get("role", entry.get("from"))
        yield role, entry.get("content", entry.get("value"))


def _of_fields(line: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    if not is_missing(line.get("system")):
        yield "system", line["system"]
    for pair in line.get("history") or ():
        if not isinstance(pair, list) or len(pair) != 2:
            raise _bad("history must be pairs of question and answer")
        yield from zip(("user", "assistant"), pair, strict=True)
    prompt, more = _first(line, _PROMPTS), line.get("input")
    yield "user", f"{prompt}\n\n{more}" if isinstance(more, str) and more.strip() else prompt
    yield "assistant", _first(line, _ANSWERS)


def _checked(found: list[tuple[Any, Any]]) -> list[Message]:
    """Return messages that take turns: system if any, then user, assistant, user, ..."""
    messages = [
        (_role(role, number), _text(content, number))
        for number, (role, content) in enumerate(found, start=1)
    ]
    spoken = [role for role, _ in messages if role is not MessageOf.SYSTEM]
    if MessageOf.USER not in spoken:
        raise _bad("it has no message of a user")
    if MessageOf.SYSTEM in [role for role, _ in messages[1:]]:
        raise _bad("a message of the system stands after the first")
    if spoken[0] is not MessageOf.USER:
        raise _bad("roles out of order: it does not begin with a user")
    if any(one is other for one, other in pairwise(spoken)):
        raise _bad("roles out of order: two messages of one role follow each other")
    if spoken[-1] is not MessageOf.ASSISTANT:
        raise _bad("roles out of order: it does not end with an answer of the assistant")
    return messages


def _role(value: Any, number: int) -> MessageOf:
    role = _ROLE_OF.get(str(value).strip().lower())
    if role is None:
        known = ", ".join(_ROLE_OF)
        raise _bad(f"message {number} has the unknown role {value!r:.80}; known are {known}")
    return role


def _text(content: Any, number: int) -> str:
    """Return a content that is a text, or parts of which all are."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise _bad(f"message {number} has parts that are no text")
        content = "\n".join(texts)
    if not isinstance(content, str):
        raise _bad(f"message {number} has no text")
    if not content.strip():
        raise _bad(f"message {number} is empty")
    return content


def _named(line: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((found for name in names if (found := read_name(line.get(name), name))), None)


def _bad(message: str) -> EntryError:
    return EntryError(Reason.BAD_CONVERSATION, message)


def _json(extra: Mapping[str, Any]) -> str:
    try:
        return json.dumps(extra, ensure_ascii=False, sort_keys=True, allow_nan=False, default=str)
    except (ValueError, RecursionError) as error:
        raise EntryError(Reason.BAD_FIELD, f"a field cannot be kept as JSON: {error}") from error


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]
