"""Everything that can be set about serving a model, with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from wavemill.manifests.filesystems import anchored
from wavemill.model.generate.settings import GenerateSettings, Sampling
from wavemill.pipeline.config import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEYS_VARIABLE = "WAVEMILL_SERVE_KEYS"  # bearer keys, separated by commas or white space


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(_Frozen):
    """How often a service runs, and what each replica is given."""

    replicas: int = Field(1, ge=1)
    most_replicas: int | None = Field(None, ge=1)  # more than `replicas`: Ray Serve scales up to it
    requests: int = Field(16, ge=1)  # that a replica works on at a time, where it scales
    most_requests: int = Field(1000, ge=1)  # that a replica takes at all
    cpus: float = Field(0.1, ge=0)  # reserved by Ray, not enforced
    gpus: float = Field(0, ge=0)

    def options(self) -> dict[str, Any]:
        """Return the arguments of `ray.serve.deployment`."""
        found: dict[str, Any] = {
            "max_ongoing_requests": self.most_requests,
            "ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus},
            "health_check_period_s": 2,
            "health_check_timeout_s": 60,
            "graceful_shutdown_timeout_s": 5,
        }
        if self.most_replicas is None:
            return found | {"num_replicas": self.replicas}
        return found | {
            "autoscaling_config": {
                "min_replicas": self.replicas,
                "max_replicas": max(self.replicas, self.most_replicas),
                "target_ongoing_requests": self.requests,
            }
        }


class TurnRules(_Frozen):
    """When the server decides that somebody speaks, and has finished; clients may change some."""

    threshold: float = Field(0.5, gt=0, lt=1)  # probability of speech that begins a turn
    hysteresis: float = Field(0.15, ge=0, lt=1)  # speech goes on down to threshold - hysteresis
    min_speech_ms: int = Field(160, ge=0)  # speech in a row that begins a turn; less is ignored
    prefix_padding_ms: int = Field(300, ge=0)  # audio before the speech that belongs to the turn
    silence_duration_ms: int = Field(500, ge=32)  # that ends a turn


class Limits(_Frozen):
    """What a client may ask for. Beyond a limit there is an error that names it."""

    sessions: int = Field(200, ge=1)  # open at a time, of a gateway
    sessions_per_key: int = Field(50, ge=1)
    replies: int = Field(32, ge=1)  # made at a time, of a gateway; shared fairly among keys
    waiting: int = Field(256, ge=0)  # replies that wait for one of these; more are refused
    event_bytes: int = Field(4 << 20, ge=1024)  # of one event of a session
    body_bytes: int = Field(32 << 20, ge=1024)  # of one REST request
    turn_seconds: float = Field(60, gt=0)  # audio of one turn
    file_seconds: float = Field(120, gt=0)  # audio of one file, in REST
    text_characters: int = Field(20_000, ge=1)  # of instructions, a message, or a text to speak
    items: int = Field(1000, ge=1)  # of a conversation
    idle_seconds: float = Field(600, gt=0)  # without an event, then a session is closed
    session_seconds: float = Field(3600, gt=0)
    send_seconds: float = Field(30, gt=0)  # that a client may take to accept an event
    kept_seconds: float = Field(86_400, gt=0)  # that a conversation is kept after its last turn
    kept_bytes: int = Field(1 << 30, ge=1 << 20)  # of conversations in the memory of a gateway


class Answers(_Frozen):
    """How replies are drawn."""

    text: Sampling = Sampling(repetition_window=16)
    audio: Sampling = Sampling(temperature=0.8, top_k=10)
    most_tokens: int = Field(750, ge=1)  # steps of a reply; one is 80 ms of speech
    least_room: int = Field(250, ge=1)  # steps kept free for it: older messages are left out
    seed: int = 0


class ServeConfig(_Frozen):
    """A model, and how it is served."""

    model: str = ""  # a folder, or the id of a hub
    semantic: str | None = None  # semantic tokenizer, if not in the model: a folder or a hub id
    detokenizer: str | None = None  # the same of the detokenizer
    name: str = "wavemill"  # what clients call the model; they may name another and get this one
    device: str = "cpu"
    dtype: Literal["stored", "float32", "bfloat16", "float16"] = "stored"  # of the LLM
    threads: int = Field(1, ge=1)  # of PyTorch, in each replica
    rows: int = Field(64, ge=1)  # conversations that one LLM goes on with at a time
    voices: dict[str, str] = {}  # name: a recording of 3 to 15 s on the server
    transcribe: str = "Transcribe this audio."  # what the model learnt to be asked

    tokenizer_service: Replicas = Replicas()
    llm_service: Replicas = Replicas()
    detokenizer_service: Replicas = Replicas()
    gateway_service: Replicas = Replicas()

    turns: TurnRules = TurnRules()
    answers: Answers = Answers()
    limits: Limits = Limits()
    store: str = "memory"  # or sqlite:PATH, or redis://HOST:PORT/0

    host: str = "127.0.0.1"
    port: int = Field(8430, ge=0, le=65535)
    keys_file: str | None = None  # one bearer key a line; or the variable WAVEMILL_SERVE_KEYS
    origins: tuple[str, ...] = ()  # of pages of other sites that may connect; "*": all
    turn_log: str = "-"  # each reply is a line of JSON: in a file, or on the standard output
    page: bool = True  # serve the page at /

    @field_validator("store")
    @classmethod
    def _from_any_folder(cls, store: str) -> str:
        """Make the file of a store absolute: gateways run in folders of their own."""
        kind, _, path = store.partition(":")
        return f"{kind}:{anchored(path)}" if kind == "sqlite" and path else store

    @field_validator("turn_log")
    @classmethod
    def _log_from_any_folder(cls, log: str) -> str:
        return log if log == "-" else anchored(log)

    @field_validator("voices")
    @classmethod
    def _voices_from_any_folder(cls, voices: dict[str, str]) -> dict[str, str]:
        return {name: anchored(path) for name, path in voices.items()}

    @model_validator(mode="after")
    def _shared_store(self) -> Self:
        several = max(self.gateway_service.replicas, self.gateway_service.most_replicas or 1) > 1
        if several and self.store == "memory":
            raise ValueError("several gateways need a store that they share: sqlite: or redis://")
        return self

    @property
    def local(self) -> bool:
        """Whether only programs on this machine reach it."""
        return self.host in LOOPBACK

    def generate(self, **changes: Any) -> GenerateSettings:
        """Return how a reply is drawn."""
        own = self.answers
        given: dict[str, Any] = {
            "text": own.text,
            "audio": own.audio,
            "max_new_tokens": own.most_tokens,
            "seed": own.seed,
        }
        return GenerateSettings.model_validate(given | changes)


def read_config(file: Path | None, given: dict[str, Any]) -> ServeConfig:
    """Return the configuration of a YAML file and, above it, what is `given`. Raises ConfigError.

    Values of None are those that were not given.
    """
    try:
        stored = yaml.safe_load(file.read_text(encoding="utf-8")) if file is not None else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config: {file}: {error}") from None
    if not isinstance(stored, dict | None):
        raise ConfigError(f"--config: {file} holds no fields")
    wanted = {name: value for name, value in given.items() if value is not None}
    try:
        return ServeConfig.model_validate((stored or {}) | wanted)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'config'}: {one['msg']}" for one in error.errors()
        ]
        raise ConfigError("; ".join(lines)) from None
