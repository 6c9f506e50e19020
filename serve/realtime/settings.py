"""What a session is set to, and how `session.update` changes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from openai.types import realtime as types
from pydantic import BaseModel

from wavemill.model.prompt.layout import Reply
from wavemill.serve.audio.formats import Format
from wavemill.serve.config import ServeConfig, TurnRules
from wavemill.serve.realtime.events import EventRefused

Given = dict[str, Any]


@dataclass(frozen=True)
class TurnDetection:
    """Turns that the server ends."""

    rules: TurnRules
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(frozen=True)
class SessionSettings:
    """Never changed in place."""

    model: str
    turn_detection: TurnDetection | None  # None: the client commits
    instructions: str = ""
    reply: Reply = Reply.BOTH
    voice: str = "default"
    hears: Format = Format.PCM
    speaks: Format = Format.PCM
    transcribes: bool = False  # what the user says, for the client to read
    most_tokens: int | None = None

    @classmethod
    def first(cls, config: ServeConfig, speaks: bool) -> SessionSettings:
        """Return what a session begins with."""
        return cls(
            config.name,
            TurnDetection(config.turns),
            reply=Reply.BOTH if speaks else Reply.TEXT,
        )

    def shown(self, session_id: str) -> types.RealtimeSessionCreateRequest:
        """Return it in the protocol's terms."""
        found = self.turn_detection
        turns: Given | None = None
        if found is not None:
            turns = {
                "type": "server_vad",
                "threshold": found.rules.threshold,
                "prefix_padding_ms": found.rules.prefix_padding_ms,
                "silence_duration_ms": found.rules.silence_duration_ms,
                "create_response": found.create_response,
                "interrupt_response": found.interrupt_response,
            }
        return types.RealtimeSessionCreateRequest.model_validate(
            {
                "type": "realtime",
                "object": "realtime.session",
                "id": session_id,
                "model": self.model,
                "instructions": self.instructions,
                "output_modalities": ["text" if self.reply is Reply.TEXT else "audio"],
                "max_output_tokens": self.most_tokens or "inf",
                "tools": [],
                "tool_choice": "auto",
                "audio": {
                    "input": {
                        "format": _format(self.hears),
                        "transcription": {"model": self.model} if self.transcribes else None,
                        "noise_reduction": None,
                        "turn_detection": turns,
                    },
                    "output": {
                        "format": _format(self.speaks),
                        "voice": self.voice,
                        "speed": 1.0,
                    },
                },
            }
        )


@dataclass
class Updater:
    """Applies what a client gives to settings; raises EventRefused for what is not offered."""

    config: ServeConfig
    speaks: bool
    voices: tuple[str, ...]
    prefix: str = "session"
    changes: Given = field(default_factory=dict)

    def updated(self, settings: SessionSettings, given: BaseModel) -> SessionSettings:
        """Return the settings of a session, or of one response, after an update.

        Fields that are not given stay as they are.
        """
        fields = given.model_dump(exclude_unset=True)
        if fields.get("tools"):
            raise EventRefused("unsupported_value", "there are no tools here", "session.tools")
        if "instructions" in fields:
            self.changes["instructions"] = self._text(fields["instructions"] or "")
        if fields.get("output_modalities"):
            self.changes["reply"] = self._reply(fields["output_modalities"])
        if "max_output_tokens" in fields:
            self.changes["most_tokens"] = self._limit(fields["max_output_tokens"])
        audio = fields.get("audio") or {}
        self._output(audio.get("output") or {})
        self._input(audio.get("input") or {}, settings)
        return replace(settings, **self.changes)

    def _text(self, text: str) -> str:
        most = self.config.limits.text_characters
        if len(text) > most:
            raise EventRefused(
                "text_too_long", f"at most {most} characters", f"{self.prefix}.instructions"
            )
        return text

    def _reply(self, modalities: list[str]) -> Reply:
        if "audio" not in modalities:
            return Reply.TEXT
        if not self.speaks:
            raise EventRefused(
                "unsupported_value",
                "this model has no detokenizer and answers in text",
                f"{self.prefix}.output_modalities",
            )
        return Reply.BOTH

    def _limit(self, limit: int | Literal["inf"] | None) -> int | None:
        if limit is None or limit == "inf":
            return None
        if not isinstance(limit, int) or limit < 1:
            raise EventRefused(
                "invalid_value", "from 1, or inf", f"{self.prefix}.max_output_tokens"
            )
        return limit

    def _output(self, output: Given) -> None:
        if output.get("format"):
            self.changes["speaks"] = _read_format(output["format"], f"{self.prefix}.audio.output")
        if output.get("speed") not in (None, 1, 1.0):
            raise EventRefused(
                "unsupported_value", "only speed 1", f"{self.prefix}.audio.output.speed"
            )
        if output.get("voice"):
            voice = output["voice"]
            self.changes["voice"] = voice["id"] if isinstance(voice, dict) else str(voice)

    def _input(self, given: Given, settings: SessionSettings) -> None:
        if given.get("format"):
            self.changes["hears"] = _read_format(given["format"], f"{self.prefix}.audio.input")
        if "transcription" in given:
            self.changes["transcribes"] = given["transcription"] is not None
        if given.get("noise_reduction"):
            raise EventRefused(
                "unsupported_value",
                "noise is not reduced here",
                f"{self.prefix}.audio.input.noise_reduction",
            )
        if "turn_detection" in given:
            self.changes["turn_detection"] = self._turns(given["turn_detection"], settings)

    def _turns(self, given: Given | None, settings: SessionSettings) -> TurnDetection | None:
        where = f"{self.prefix}.audio.input.turn_detection"
        if given is None:
            return None
        if given.get("type") != "server_vad":
            raise EventRefused("unsupported_value", "server_vad, or null", f"{where}.type")
        if given.get("idle_timeout_ms"):
            raise EventRefused("unsupported_value", "not offered", f"{where}.idle_timeout_ms")
        before = settings.turn_detection or TurnDetection(self.config.turns)
        names = ("threshold", "prefix_padding_ms", "silence_duration_ms")
        wanted = {name: given[name] for name in names if given.get(name) is not None}
        longest = round(self.config.limits.turn_seconds * 1000)
        for name in names[1:]:
            if wanted.get(name, 0) > longest:
                raise EventRefused("invalid_value", f"at most {longest}", f"{where}.{name}")
        try:
            rules = TurnRules.model_validate(before.rules.model_dump() | wanted)
        except ValueError:
            raise EventRefused(
                "invalid_value",
                "a threshold between 0 and 1, padding from 0 ms, silence from 32 ms",
                where,
            ) from None
        flags = ("create_response", "interrupt_response")
        said = {name: given[name] for name in flags if given.get(name) is not None}
        return replace(before, rules=rules, **said)


def _format(form: Format) -> Given:
    return {"type": form.value} | ({"rate": form.rate} if form is Format.PCM else {})


def _read_format(given: Given, where: str) -> Format:
    try:
        form = Format(given.get("type") or Format.PCM)
    except ValueError:
        known = ", ".join(Format)
        raise EventRefused("unsupported_value", f"one of {known}", f"{where}.format") from None
    if given.get("rate") not in (None, form.rate):
        raise EventRefused("unsupported_value", f"{form.rate} Hz", f"{where}.format.rate")
    return form
