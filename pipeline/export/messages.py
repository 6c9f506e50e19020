"""Chat messages with audio, as processors and trainers of the Hugging Face libraries read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wavemill.pipeline.export.format import Folder, Format, Row


class Messages(Format):
    """A line has `messages`, each with role and content: a list of parts of type audio or text.

    Entries of one role that follow each other (an instruction and the recording) are one message,
    as chat templates want it.
    """

    name = "messages"
    title = "chat messages with parts of type audio and text, for transformers and TRL"
    corpora = ("sft", "sft_spoken")
    dropped = "semantic tokens and metadata"

    def lines(self, row: Row, folder: Folder) -> Iterator[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        for index, message in enumerate(row["messages"]):
            parts: list[dict[str, str]] = []
            if message["kind"] == "audio":
                key = folder.write_flac(f"{row['sample_id']}-{index}", message["audio"]["bytes"])
                parts.append({"type": "audio", "audio": key})
            if message["text"] is not None:
                parts.append({"type": "text", "text": message["text"]})
            if messages and messages[-1]["role"] == message["role"]:
                messages[-1]["content"] += parts
            else:
                messages.append({"role": message["role"], "content": parts})
        about = {name: row[name] for name in ("task", "language", "license") if row[name]}
        yield {"id": row["sample_id"], "messages": messages, **about}
