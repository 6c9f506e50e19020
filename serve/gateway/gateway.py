"""The gateway: what clients reach. It holds no model, and any number of them can run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse

from wavemill.serve.config import ServeConfig
from wavemill.serve.gateway.access import Access, Denied
from wavemill.serve.gateway.backend import Backend, ReplyRefused, Unavailable
from wavemill.serve.gateway.fair import FairPlaces, Full
from wavemill.serve.gateway.metrics import Metrics
from wavemill.serve.gateway.page import POLICY, file_of
from wavemill.serve.realtime.socket import talk
from wavemill.serve.rest.chat import ChatRequest, chat
from wavemill.serve.rest.requests import Invalid, body_of, fields_of, form_of, problem, validated_as
from wavemill.serve.rest.speech import SpeechRequest, TranscriptionRequest, speech, transcription
from wavemill.serve.services import Services
from wavemill.serve.store.interface import open_store

app = FastAPI(title="wavemill", docs_url=None, redoc_url=None, openapi_url=None)
logger = logging.getLogger("ray.serve")
Answering = Callable[[Services, str], Awaitable[Response]]


class Gateway:
    """A replica. Its routes are those of the OpenAI interface."""

    def __init__(
        self, config: ServeConfig, keys: tuple[str, ...], tokenizer: Any, llm: Any, detokenizer: Any
    ) -> None:
        """Take handles of the services; `detokenizer` is None where the model does not speak."""
        self._config, self._access = config, Access(keys, config.origins)
        self._backend = Backend(tokenizer, llm, detokenizer)
        self._detokenizer = detokenizer
        self._store = open_store(config.store, config.limits)
        self._known: Services | None = None

    async def _services(self) -> Services:
        """Return what all requests share, once the services have answered."""
        if self._known is None:
            from wavemill.stages.diarize.vad import open_session

            facts, limits = await self._backend.facts(), self._config.limits
            voices = () if self._detokenizer is None else await self._detokenizer.voices.remote()
            places = FairPlaces(limits.replies, limits.waiting)
            if self._known is None:
                self._known = Services(
                    self._config,
                    self._backend,
                    facts,
                    tuple(voices),
                    self._store,
                    Metrics(),
                    open_session(),
                    places,
                )
        return self._known

    async def _answer(self, request: Request, answering: Answering) -> Response:
        """Answer a request of somebody who may ask, or say why not."""
        try:
            owner = self._access.owner(request.headers)
            return await answering(await self._services(), owner)
        except Denied as error:
            return problem(error.status, error.code, str(error))
        except Invalid as error:
            return problem(error.status, error.code, str(error), error.param)
        except ReplyRefused as error:
            return problem(400, error.code, str(error))
        except Full as error:
            return problem(429, "server_busy", str(error))
        except Unavailable as error:
            return problem(503, "unavailable", str(error))

    @app.websocket("/v1/realtime")
    async def realtime(self, socket: WebSocket) -> None:
        """Talk with the model (OpenAI Realtime)."""
        await talk(socket, await self._services(), self._access)

    @app.post("/v1/chat/completions")
    async def chat_completions(self, request: Request) -> Response:
        """Answer messages of text and audio."""

        async def answering(services: Services, owner: str) -> Response:
            fields = fields_of(await body_of(request, self._config.limits.body_bytes))
            return await chat(services, owner, validated_as(ChatRequest, fields))

        return await self._answer(request, answering)

    @app.post("/v1/audio/speech")
    async def audio_speech(self, request: Request) -> Response:
        """Read a text aloud."""

        async def answering(services: Services, owner: str) -> Response:
            fields = fields_of(await body_of(request, self._config.limits.body_bytes))
            return await speech(services, owner, validated_as(SpeechRequest, fields))

        return await self._answer(request, answering)

    @app.post("/v1/audio/transcriptions")
    async def audio_transcriptions(self, request: Request) -> Response:
        """Write down what is said in a recording."""

        async def answering(services: Services, owner: str) -> Response:
            body = await body_of(request, self._config.limits.body_bytes)
            fields = await form_of(request, body)
            return await transcription(services, owner, validated_as(TranscriptionRequest, fields))

        return await self._answer(request, answering)

    @app.get("/v1/models")
    async def models(self, request: Request) -> Response:
        """Name the model."""

        async def answering(_services: Services, _owner: str) -> Response:
            model = {"id": self._config.name, "object": "model", "created": 0, "owned_by": "local"}
            return JSONResponse({"object": "list", "data": [model]})

        return await self._answer(request, answering)

    @app.get("/healthz")
    async def healthy(self) -> Response:
        """Say whether all services answer."""
        try:
            await self._services()
        except Unavailable as error:
            return problem(503, "unavailable", str(error))
        return JSONResponse({"status": "ok"})

    @app.get("/")
    @app.get("/page/{name}")
    async def page(self, name: str = "index.html") -> Response:
        """Show the page to talk with."""
        file = file_of(name) if self._config.page else None
        if file is None:
            return problem(404, "not_found", "there is no such page")
        return FileResponse(file, headers=POLICY)
