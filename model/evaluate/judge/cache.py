"""Replies of a judge on disk, one file each, found by the content of the question."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path


class ReplyCache:
    """A folder of replies; several processes may share it. None as the folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, digest: str) -> str | None:
        """Return a stored reply; None where there is none, or its file is damaged."""
        if self.folder is None:
            return None
        try:
            stored = json.loads(self._path(digest).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        text = stored.get("reply") if isinstance(stored, dict) else None
        return text if isinstance(text, str) else None

    def put(self, digest: str, request: dict[str, object], reply: str) -> None:
        """Store a reply with its request, in one step."""
        if self.folder is None:
            return
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"request": request, "reply": reply}, file, ensure_ascii=False)
        Path(name).replace(path)

    def _path(self, digest: str) -> Path:
        assert self.folder is not None
        return self.folder / digest[:2] / f"{digest}.json"
