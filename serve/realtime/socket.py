"""A WebSocket from its first byte to its last: who may open it, and what ends it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import WebSocket
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnect, WebSocketState

from wavemill.serve.conversation import Conversation, new_id
from wavemill.serve.gateway.access import PROTOCOL, Access, Denied
from wavemill.serve.gateway.fair import Full
from wavemill.serve.realtime.events import EventRefused, Gone, as_json, failure, read_event
from wavemill.serve.realtime.session import Session
from wavemill.serve.services import Services

# Of the WebSocket protocol.
GOING_AWAY, POLICY, TRY_AGAIN = 1001, 1008, 1013
logger = logging.getLogger("ray.serve")


@dataclass
class Connection:
    """Sends events one at a time."""

    socket: WebSocket
    seconds: float  # that an event may take
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, event: BaseModel) -> None:
        """Send an event; raises Gone."""
        text = as_json(event)
        try:
            async with self._lock, asyncio.timeout(self.seconds):
                await self.socket.send_text(text)
        except (TimeoutError, RuntimeError, WebSocketDisconnect, OSError):
            raise Gone from None

    async def close(self, code: int, reason: str) -> None:
        if self.socket.application_state is WebSocketState.CONNECTED:
            try:
                await self.socket.close(code, reason[:100])
            except (RuntimeError, WebSocketDisconnect, OSError):
                return


async def talk(
    socket: WebSocket, shared: Callable[[], Awaitable[Services]], access: Access
) -> None:
    """Serve one client of `/v1/realtime` until it leaves, or a limit ends the session."""
    offered = list(socket.scope.get("subprotocols", ()))
    try:
        owner = access.owner(socket.headers, offered)
    except Denied as error:
        await socket.close(POLICY, str(error)[:100])  # before it is accepted: status 403
        return
    services = await shared()
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    connection = Connection(socket, services.config.limits.send_seconds)
    try:
        with services.session(owner):
            conversation = await _conversation(socket, services, owner)
            session = Session(services, owner, conversation, connection.send)
            try:
                await session.begin()
                await _listen(connection, session, services)
            finally:
                await session.end()
    except Full as error:
        await _refuse(connection, EventRefused("too_many_sessions", str(error)), TRY_AGAIN)
    except EventRefused as error:
        await _refuse(connection, error, POLICY)
    except (Gone, WebSocketDisconnect):
        return
    except Exception:
        logger.exception("a session failed")
        refused = EventRefused("internal_error", "this session failed; connect again")
        await _refuse(connection, refused, 1011)


async def _conversation(socket: WebSocket, services: Services, owner: str) -> Conversation:
    """Return a new conversation, or the one that the client goes on with. Raises EventRefused."""
    wanted = socket.query_params.get("conversation")
    if wanted is None:
        return Conversation(new_id("conv"))
    found = await services.load(owner, wanted)
    if found is None:
        raise EventRefused(
            "conversation_not_found", "it is not kept here, or not of this key", "conversation"
        )
    return found


async def _listen(connection: Connection, session: Session, services: Services) -> None:
    """Take events until the client leaves; raises EventRefused at the end of the time."""
    limits, opened = services.config.limits, time.monotonic()
    while True:
        left = opened + limits.session_seconds - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(left, limits.idle_seconds))):
                message = await connection.socket.receive()
        except TimeoutError:
            if left <= limits.idle_seconds:
                raise EventRefused(
                    "session_expired", f"a session lasts {limits.session_seconds:g} s"
                ) from None
            raise EventRefused(
                "session_idle", f"nothing came for {limits.idle_seconds:g} s"
            ) from None
        if message["type"] != "websocket.receive":
            return
        content = message.get("text")
        try:
            event = read_event(
                message.get("bytes") or b"" if content is None else content, limits.event_bytes
            )
            try:
                await session.handle(event)
            except EventRefused as error:
                error.event_id = error.event_id or getattr(event, "event_id", None)
                raise
        except EventRefused as error:
            await connection.send(failure(error))


async def _refuse(connection: Connection, error: EventRefused, code: int) -> None:
    try:
        await connection.send(failure(error, "server_error"))
    except Gone:
        return
    await connection.close(code, error.code)
