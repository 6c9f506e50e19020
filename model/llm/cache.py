"""The attention cache: keys and values of the positions that each row has read so far.

A row is one conversation. It has a slot in the buffers of every layer, for as long as it goes on;
slots have lengths of their own. The slots in use are the first ones, so that a step runs over them
as they lie: the last slot moves into one that becomes free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from wavemill.model.llm.packed import Documents, flash

FIRST_SLOTS = 1  # buffers double from here
FIRST_CAPACITY = 256  # positions


class SlotCache:
    """A buffer of keys and one of values for each of some layers: (slots, capacity, heads, width).

    `heads` are those of keys and values. Keys are stored after the rotary embedding.
    """

    def __init__(self) -> None:
        self.owners: list[int] = []  # the handle of the row in each slot
        self.slots, self.capacity = FIRST_SLOTS, FIRST_CAPACITY  # of the buffers
        self._buffers: dict[int, tuple[Tensor, Tensor]] = {}  # by layer

    def join(self, owner: int) -> None:
        """Give a row the next slot."""
        self.owners.append(owner)

    def leave(self, owner: int) -> None:
        """Free the slot of a row; the last row moves there."""
        slot, last = self.owners.index(owner), self.owners.pop()
        if last == owner:
            return
        self.owners[slot] = last
        for buffer in (one for pair in self._buffers.values() for one in pair):
            buffer[slot] = buffer[len(self.owners)]

    def reserve(self, slots: int, positions: int) -> bool:
        """Make room for so many slots of so many positions; return whether buffers have moved."""
        if slots <= self.slots and positions <= self.capacity:
            return False
        self.slots = _doubled(self.slots, slots)
        self.capacity = _doubled(self.capacity, positions)
        for layer, pair in self._buffers.items():
            keys, values = (self._zeros(old) for old in pair)
            for old, new in zip(pair, (keys, values), strict=True):
                new[: old.shape[0], : old.shape[1]] = old
            self._buffers[layer] = keys, values
        return True

    def buffers(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer; `like` (..., heads, width) says of what kind."""
        if layer not in self._buffers:
            self._buffers[layer] = self._zeros(like), self._zeros(like)
        return self._buffers[layer]

    def held(self, layer: int, owner: int, length: int) -> tuple[Tensor, Tensor]:
        """Return the first `length` keys and values of a row: (length, heads, width) each."""
        slot = self.owners.index(owner)
        keys, values = self._buffers[layer]
        return keys[slot, :length], values[slot, :length]

    def _zeros(self, like: Tensor) -> Tensor:
        """Return a buffer of zeros: a weight of 0 times what was never written could be NaN."""
        heads, width = like.shape[-2:]
        if flash(like):
            return like.new_zeros(self.slots, self.capacity, heads, width)
        # In memory, the positions of a head lie together, which the masked way reads faster.
        return like.new_zeros(self.slots, heads, self.capacity, width).transpose(1, 2)


def _doubled(size: int, wanted: int) -> int:
    while size < wanted:
        size *= 2
    return size


@dataclass(frozen=True)
class Reading:
    """Prompts, packed into one row, that fill slots from their first position on.

    Decoder layers take it for their cache; attention is that of packed `Documents`.
    """

    cache: SlotCache
    slots: Sequence[int]  # of each document
    documents: Documents

    def update(self, key: Tensor, value: Tensor, layer_idx: int, **_: Any) -> tuple[Tensor, Tensor]:
        """Store keys and values (1, heads, positions, width) of a layer, and return them.

        Newer decoder layers pass more arguments, which this kind of cache does not need.
        """
        for buffer, new in zip(
            self.cache.buffers(layer_idx, _flat(key)), (key, value), strict=True
        ):
            parts = torch.split(_flat(new), list(self.documents.lengths))
            for slot, part in zip(self.slots, parts, strict=True):
                buffer[slot, : len(part)] = part
        return key, value


@dataclass(frozen=True)
class Places:
    """Where the next position of each row goes, and what it sees."""

    lengths: Tensor  # int64 (rows,): positions before this one
    seen: Tensor  # bool (rows, 1, 1, positions), for the masked way

    @classmethod
    def behind(cls, lengths: Tensor, longest: int) -> Places:
        """Return the places behind `lengths`; slots are looked at up to `longest`."""
        positions = torch.arange(longest, device=lengths.device)
        return cls(lengths, (positions <= lengths[:, None])[:, None, None])

    def of(self, rows: Tensor) -> Places:
        return Places(self.lengths[rows], self.seen[rows])


class Stepping:
    """One more position of each row: the first slots, in order.

    Decoder layers take it for their cache, and `packed.attention` for what attends.
    """

    def __init__(self, cache: SlotCache, places: Places) -> None:
        self._cache, self._places = cache, places
        lengths = places.lengths
        self._slots = torch.arange(len(lengths), device=lengths.device)

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, where their slots start, and how much of each is in use: int32, on the device."""
        lengths = self._places.lengths
        count = torch.arange(len(lengths) + 1, device=lengths.device, dtype=torch.int32)
        return count, count * self._cache.capacity, (lengths + 1).int()

    def update(self, key: Tensor, value: Tensor, layer_idx: int, **_: Any) -> tuple[Tensor, Tensor]:
        """Store keys and values (1, heads, rows, width) of a layer; return its whole buffers."""
        buffers = self._cache.buffers(layer_idx, _flat(key))
        for buffer, new in zip(buffers, (key, value), strict=True):
            buffer.index_put_((self._slots, self._places.lengths), _flat(new))
        return buffers

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float | None) -> Tensor:
        """Attend from each row's position to all of the row.

        `query` is (1, heads, rows, width), and `keys` and `values` are a layer's buffers. Returns
        (1, rows, heads, width).
        """
        asked = _flat(query)
        if flash(query):
            from torch.nn.attention.varlen import varlen_attn

            # Pages (`block_table`) would want FlashAttention 3, which torch does not bring.
            rows, starts, used = self._bounds
            found = varlen_attn(
                asked.contiguous(), keys.flatten(0, 1), values.flatten(0, 1), rows, starts,
                1, self._cache.capacity, scale=scale, enable_gqa=True, seqused_k=used,
            )  # fmt: skip
            assert isinstance(found, Tensor)
            return found[None]
        # The queries that share a head of keys stand where queries usually stand.
        seen = self._places.seen
        groups = asked.reshape(len(asked), keys.shape[2], -1, keys.shape[3])
        key, value = (x[: len(asked), : seen.shape[-1]].transpose(1, 2) for x in (keys, values))
        found = scaled_dot_product_attention(groups, key, value, attn_mask=seen, scale=scale)
        return found.flatten(1, 2)[None]


def _flat(tensor: Tensor) -> Tensor:
    """Return (1, heads, positions, width) as (positions, heads, width)."""
    return tensor[0].transpose(0, 1)


class Memory:
    """What a network has read of some rows: a cache for each part of it.

    All rows are in `trunk`, the shared layers. `text` and `audio` are the layers of the two
    branches: a row that does not need a branch has no slot in it.
    """

    def __init__(self) -> None:
        self.trunk, self.text, self.audio = SlotCache(), SlotCache(), SlotCache()

    @property
    def parts(self) -> tuple[SlotCache, SlotCache, SlotCache]:
        return self.trunk, self.text, self.audio

    def leave(self, owner: int) -> None:
        """Free all slots of a row."""
        for part in self.parts:
            if owner in part.owners:
                part.leave(owner)
