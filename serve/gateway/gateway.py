"""The gateway: what clients reach. It holds no model, and any number of them can run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

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

Answering = Callable[[Services, str], Awaitable[Response]]


class Ingress:
    """Hands what comes to the gateway of this replica, which Ray Serve has made."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from ray import serve

        if scope["type"] == "lifespan":  # comes before there is a gateway, which needs none
            await FastAPI()(scope, receive, send)
            return
        gateway: Any = serve.get_replica_context().servable_object
        await gateway.asgi(scope, receive, send)


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
        self.asgi = self._routes()

    def _routes(self) -> FastAPI:
        app = FastAPI(title="wavemill", docs_url=None, redoc_url=None, openapi_url=None)
        app.add_api_websocket_route("/v1/realtime", self.realtime)
        for path, answer in (
            ("/v1/chat/completions", self.chat_completions),
            ("/v1/audio/speech", self.audio_speech),
            ("/v1/audio/transcriptions", self.audio_transcriptions),
        ):
            app.add_api_route(path, answer, methods=["POST"])
        for path, show in (
            ("/v1/models", self.models),
            ("/metrics", self.figures),
            ("/healthz", self.healthy),
            ("/", self.page),
            ("/page/{name}", self.page),
        ):
            app.add_api_route(path, show, methods=["GET"])
        return app

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
                    Metrics(self._config.turn_log),
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

    async def realtime(self, socket: WebSocket) -> None:
        """Talk with the model (OpenAI Realtime)."""
        await talk(socket, self._services, self._access)

    async def chat_completions(self, request: Request) -> Response:
        """Answer messages of text and audio."""

        async def answering(services: Services, owner: str) -> Response:
            fields = fields_of(await body_of(request, self._config.limits.body_bytes))
            return await chat(services, owner, validated_as(ChatRequest, fields))

        return await self._answer(request, answering)

    async def audio_speech(self, request: Request) -> Response:
        """Read a text aloud."""

        async def answering(services: Services, owner: str) -> Response:
            fields = fields_of(await body_of(request, self._config.limits.body_bytes))
            return await speech(services, owner, validated_as(SpeechRequest, fields))

        return await self._answer(request, answering)

    async def audio_transcriptions(self, request: Request) -> Response:
        """Write down what is said in a recording."""

        async def answering(services: Services, owner: str) -> Response:
            body = await body_of(request, self._config.limits.body_bytes)
            fields = await form_of(request, body)
            return await transcription(services, owner, validated_as(TranscriptionRequest, fields))

        return await self._answer(request, answering)

    async def models(self, request: Request) -> Response:
        """Name the model."""

        async def answering(_services: Services, _owner: str) -> Response:
            model = {"id": self._config.name, "object": "model", "created": 0, "owned_by": "local"}
            return JSONResponse({"object": "list", "data": [model]})

        return await self._answer(request, answering)

    async def figures(self, request: Request) -> Response:
        """Give figures to Prometheus, which needs a key like everybody else."""

        async def answering(services: Services, _owner: str) -> Response:
            metrics = services.metrics
            metrics.rows.set(await services.backend.rows())
            metrics.waiting.set(services.places.waiting)
            return Response(metrics.text(), media_type="text/plain; version=0.0.4")

        return await self._answer(request, answering)

    async def healthy(self) -> Response:
        """Say whether all services answer."""
        try:
            await self._services()
        except Unavailable as error:
            return problem(503, "unavailable", str(error))
        return JSONResponse({"status": "ok"})

    async def page(self, name: str = "index.html") -> Response:
        """Show the page to talk with."""
        file = file_of(name) if self._config.page else None
        if file is None:
            return problem(404, "not_found", "there is no such page")
        return FileResponse(file, headers=POLICY)
