"""Conversations that ask the same as others, or nearly: only the first of them need be spoken."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from wavemill.manifests.recording import MessageOf, Recording

# In `metadata` of a conversation that has some: how many, and how near the nearest one is.
EARLIER = "wavemill_earlier_copies"
NEAREST = "wavemill_nearest_earlier"
ADDED = frozenset({EARLIER, NEAREST})
LEAST_SIMILARITY = 0.5  # what is less alike is not looked for
_SHINGLE = 3  # words
_PERMUTATIONS = 64
_WORD = re.compile(r"\w+")


def with_copies(conversations: Iterable[Recording]) -> Iterator[Recording]:
    """Yield conversations in the order of their ids; each knows which before it ask the same.

    The same are those whose users say the same words, in any case and with any punctuation. Others
    are as near as the share of three words in a row (of all that either has) that both have.
    """
    seen: Counter[str] = Counter()
    in_order = sorted(conversations, key=lambda one: one.recording_id)
    near = _Near() if in_order else None
    for one in in_order:
        asked = [item.text or "" for item in one.items if item.task == MessageOf.USER]
        said = [" ".join(words_of(text)) for text in asked]
        key = "\n".join(said)
        found: dict[str, float] = {}
        if earlier := seen[key]:
            found[EARLIER] = earlier
        elif near and (nearest := near.add(said)):
            found[NEAREST] = nearest
        seen[key] += 1
        if found:
            known = {**json.loads(one.metadata), **found}
            yield replace(one, metadata=json.dumps(known, ensure_ascii=False, sort_keys=True))
        else:
            yield one


def words_of(text: str) -> list[str]:
    """Return the words of a text, whatever their case and the punctuation."""
    return _WORD.findall(text.lower())


class _Near:
    """Texts by their shingles: MinHash finds those that may be near, their shingles say how near.

    Broder, "On the resemblance and containment of documents", 1997.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH  # 0.7 s, which sources of audio need not wait

        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=1)
        self._index = MinHashLSH(threshold=LEAST_SIMILARITY, num_perm=_PERMUTATIONS)
        self._texts: list[list[str]] = []

    def add(self, said: list[str]) -> float:
        """Add what the users of a conversation say; return the similarity to the nearest before.

        0 where it is less than LEAST_SIMILARITY, and for texts with fewer words than a shingle.
        """
        shingles = _shingles(said)
        if not shingles:
            return 0.0
        hashed = self._empty.copy()  # with its permutations, whose drawing takes the longest
        hashed.update_batch([shingle.encode() for shingle in shingles])
        nearest = 0.0
        for other in self._index.query(hashed):
            theirs = _shingles(self._texts[other])
            nearest = max(nearest, len(shingles & theirs) / len(shingles | theirs))
        self._index.insert(len(self._texts), hashed, check_duplication=False)
        self._texts.append(said)
        return round(nearest, 3) if nearest >= LEAST_SIMILARITY else 0.0


def _shingles(said: list[str]) -> set[str]:
    """Return each run of _SHINGLE words of a message."""
    rows = (text.split() for text in said)
    return {
        " ".join(words[start : start + _SHINGLE])
        for words in rows
        for start in range(len(words) - _SHINGLE + 1)
    }
