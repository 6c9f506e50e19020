"""Conversations that ask the same as others: only the first of them need be spoken."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from wavemill.manifests.recording import MessageOf, Recording

EARLIER = "wavemill_earlier_copies"  # in `metadata` of a conversation that has some
_WORD = re.compile(r"\w+")


def with_copies(conversations: Iterable[Recording]) -> Iterator[Recording]:
    """Yield conversations in the order of their ids; each knows how many before it ask the same.

    The same are those whose users say the same words, in any case and with any punctuation.
    """
    seen: Counter[str] = Counter()
    for one in sorted(conversations, key=lambda one: one.recording_id):
        asked = [item.text or "" for item in one.items if item.task == MessageOf.USER]
        key = "\n".join(" ".join(_WORD.findall(text.lower())) for text in asked)
        if earlier := seen[key]:
            known = {**json.loads(one.metadata), EARLIER: earlier}
            yield replace(one, metadata=json.dumps(known, ensure_ascii=False, sort_keys=True))
        else:
            yield one
        seen[key] += 1
