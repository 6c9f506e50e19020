"""The JSONL that the fine-tuning code of Kimi-Audio reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wavemill.pipeline.export.format import Folder, Format, Row


class KimiJsonl(Format):
    """A line has `task_type` and `conversation`: entries with role, message_type and content.

    Speech of the assistant is an `audio-text`, whose content is path and text: the model learns
    both side by side. `message_type` of all other entries is `text` or `audio`.
    """

    name = "kimi-jsonl"
    title = "fine-tuning data of Kimi-Audio: task_type, conversation"
    corpora = ("sft", "sft_spoken")
    dropped = "semantic tokens, metadata, licence and language"

    def lines(self, row: Row, folder: Folder) -> Iterator[dict[str, Any]]:
        entries = []
        speaks = False
        for index, message in enumerate(row["messages"]):
            kind, content = "text", message["text"]
            if message["kind"] == "audio":
                flac = message["audio"]["bytes"]
                kind, content = "audio", folder.write_flac(f"{row['sample_id']}-{index}", flac)
                if message["role"] == "assistant":
                    speaks = True
                    if message["text"] is not None:
                        kind, content = "audio-text", [content, message["text"]]
            entry = {"role": message["role"], "message_type": kind, "content": content}
            entries.append(entry)
        task_type = "speech2speech" if speaks else "understanding"
        yield {"task_type": task_type, "conversation": entries}
