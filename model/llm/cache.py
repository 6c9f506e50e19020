"""The attention cache: keys and values of the positions that each row has read so far.

A row is one conversation. It has a slot in the buffers of every layer, for as long as it goes on;
slots have lengths of their own. The slots in use are the first ones, so that a step runs over them
as they lie: the last slot moves into one that becomes free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
            grown = tuple(old.new_zeros(self._shape(old)) for old in pair)
            for old, new in zip(pair, grown, strict=True):
                new[: old.shape[0], : old.shape[1]] = old
            self._buffers[layer] = (grown[0], grown[1])
        return True

    def buffers(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer; `like` (..., heads, width) says of what kind."""
        if layer not in self._buffers:
            # Zeros, since a weight of 0 in attention times what was never written could be NaN.
            shape = self._shape(like)
            self._buffers[layer] = like.new_zeros(shape), like.new_zeros(shape)
        return self._buffers[layer]

    def held(self, layer: int, owner: int, length: int) -> tuple[Tensor, Tensor]:
        """Return the first `length` keys and values of a row: (length, heads, width) each."""
        slot = self.owners.index(owner)
        keys, values = self._buffers[layer]
        return keys[slot, :length], values[slot, :length]

    def _shape(self, like: Tensor) -> tuple[int, ...]:
        return (self.slots, self.capacity, *like.shape[-2:])


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
class Stepping:
    """One more position of each row, behind the `lengths` that it has.

    Decoder layers take it for their cache, and `packed.attention` for what attends. The rows are
    the first slots, in order.
    """

    cache: SlotCache
    lengths: Tensor  # int64 (rows,): positions before this one
    longest: int  # slots are looked at up to here, by the masked way
    _slots: Tensor = field(init=False)
    _mask: Tensor = field(init=False)  # bool (rows, 1, 1, longest)
    _bounds: tuple[Tensor, Tensor, Tensor] = field(init=False)  # int32, for `varlen_attn`

    def __post_init__(self) -> None:
        rows, device = len(self.lengths), self.lengths.device
        count = torch.arange(rows + 1, device=device)
        places = torch.arange(self.longest, device=device)
        seen = places <= self.lengths[:, None]
        starts = (count * self.cache.capacity).int()
        object.__setattr__(self, "_slots", count[:rows])
        object.__setattr__(self, "_mask", seen[:, None, None])
        object.__setattr__(self, "_bounds", (count.int(), starts, (self.lengths + 1).int()))

    def update(self, key: Tensor, value: Tensor, layer_idx: int, **_: Any) -> tuple[Tensor, Tensor]:
        """Store keys and values (1, heads, rows, width) of a layer; return its whole buffers."""
        buffers = self.cache.buffers(layer_idx, _flat(key))
        for buffer, new in zip(buffers, (key, value), strict=True):
            buffer.index_put_((self._slots, self.lengths), _flat(new))
        return buffers

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float | None) -> Tensor:
        """Attend from each row's position to all of the row.

        `query` is (1, heads, rows, width), and `keys` and `values` are a layer's buffers. Returns
        (1, rows, heads, width).
        """
        asked = _flat(query)
        if flash(query):
            from torch.nn.attention.varlen import varlen_attn

            # The slots lie one behind another, and `seqused_k` says how much of each is in use.
            # Pages (`block_table`) would want FlashAttention 3, which torch does not bring.
            rows, starts, used = self._bounds
            found = varlen_attn(
                asked.contiguous(), keys.flatten(0, 1), values.flatten(0, 1), rows, starts,
                1, self.cache.capacity, scale=scale, enable_gqa=True, seqused_k=used,
            )  # fmt: skip
            assert isinstance(found, Tensor)
            return found[None]
        # The queries that share a head of keys stand where queries usually stand.
        groups = asked.reshape(len(asked), keys.shape[2], -1, keys.shape[3])
        key, value = (x[: len(asked), : self.longest].transpose(1, 2) for x in (keys, values))
        found = scaled_dot_product_attention(groups, key, value, attn_mask=self._mask, scale=scale)
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
