"""Engines that rewrite conversations, by name."""

from typing import Any

from wavemill.stages.rewrite.chat import Chat
from wavemill.stages.rewrite.engine import RewriteEngine
from wavemill.stages.rewrite.rules import Rules

ENGINES: dict[str, type[RewriteEngine[Any]]] = {e.name: e for e in (Rules, Chat)}
