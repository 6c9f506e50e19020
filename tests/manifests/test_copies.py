"""Which conversations ask what earlier ones have asked, or nearly."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wavemill.manifests.conversations import conversation
from wavemill.manifests.copies import EARLIER, LEAST_SIMILARITY, NEAREST, with_copies
from wavemill.manifests.recording import MessageOf, Recording


def asked(*questions: str) -> list[Recording]:
    """Return a conversation for each question."""
    return [
        conversation([(MessageOf.USER, text), (MessageOf.ASSISTANT, f"Number {n}.")], "c:1", None)
        for n, text in enumerate(questions)
    ]


def added(*questions: str) -> list[dict[str, Any]]:
    """Return what is added to the conversations, in the order of their ids."""
    return [json.loads(one.metadata) for one in with_copies(asked(*questions))]


def words(count: int, seed: int) -> list[str]:
    return [f"w{random.Random(seed * 1000 + n).randrange(100_000)}" for n in range(count)]


def test_the_same_words_count_as_copies_and_not_as_near() -> None:
    found = added("How are you today?", "how are you TODAY", "How, are you... today!")
    assert found == [{}, {EARLIER: 1}, {EARLIER: 2}]


def test_one_other_word_of_forty_is_near_and_of_eight_is_not() -> None:
    long = words(40, 1)
    (first, second) = added(" ".join(long), " ".join([*long[:20], "other", *long[21:]]))
    # Of 38 runs of three words, 3 are other ones on either side.
    assert (first, second) == ({}, {NEAREST: round(35 / 41, 3)})
    short = "what is the sum of {} and five please"
    assert added(short.format("one"), short.format("two")) == [{}, {}]


def test_further_messages_count_too() -> None:
    one, other, third = (" ".join(words(12, seed)) for seed in (1, 2, 3))
    messages = [
        [(MessageOf.USER, one), (MessageOf.ASSISTANT, "Yes."), (MessageOf.USER, second)]
        for second in (other, third)
    ]
    both = [conversation([*said, (MessageOf.ASSISTANT, "No.")], "c:1", None) for said in messages]
    assert [json.loads(found.metadata) for found in with_copies(both)] == [{}, {}]  # a third


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_sources_does_not_matter(changes: list[int], rng: random.Random) -> None:
    base = words(30, 9)
    texts = [" ".join([*base[:12], f"x{change}", *base[13:]]) for change in changes]
    recordings = asked(*texts)
    shuffled = rng.sample(recordings, len(recordings))
    found = list(with_copies(recordings))
    assert list(with_copies(shuffled)) == found
    first = json.loads(found[0].metadata)
    assert first == {}
    for one in found[1:]:
        known = json.loads(one.metadata)
        assert known.get(EARLIER, 0) or known[NEAREST] >= LEAST_SIMILARITY
