"""The attention cache: keys and values of the positions read so far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FIRST_CAPACITY = 256  # positions; a growing cache doubles from here


class CacheFull(Exception):
    """A static cache has no room for the next positions."""


class KeyValueCache:
    """A buffer of keys and one of values per layer: (batch, kv_heads, capacity, head_width).

    Layers are numbered with the shared and text layers first, then the audio layers. Keys are
    stored after the rotary embedding. A cache grows, unless it has a `static_capacity`: then
    attention always runs over the whole buffer, so that every decoding step has the same shapes
    and can be captured in a CUDA graph.
    """

    def __init__(self, static_capacity: int | None = None) -> None:
        self.length = 0  # positions filled
        self.static_capacity = static_capacity
        self._next: Tensor | None = None  # (1,) int64 on the device: `length`, for a CUDA graph
        self._slots: Tensor | None = None  # of the step in progress
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    @property
    def static(self) -> bool:
        return self.static_capacity is not None

    def slots(self, count: int, device: torch.device) -> Tensor:
        """Return the slots of the next `count` positions, (count,) int64; raises CacheFull."""
        self.check_room(count)
        if self._next is None:
            self._next = torch.zeros(1, dtype=torch.int64, device=device)
        self._slots = self._next + torch.arange(count, device=device)
        return self._slots

    def check_room(self, count: int) -> None:
        """Raise CacheFull when the next `count` positions do not fit."""
        if self.static_capacity is not None and self.length + count > self.static_capacity:
            raise CacheFull(f"{self.length} + {count} positions exceed {self.static_capacity}")

    def keys_seen(self, count: int) -> int:
        """Return the number of keys that attention runs over in a step of `count` positions."""
        if self.static_capacity is not None and self.length:
            return self.static_capacity
        return self.length + count

    def update(self, key: Tensor, value: Tensor, layer_idx: int, **_: Any) -> tuple[Tensor, Tensor]:
        """Store keys and values (batch, kv_heads, count, head_width) of a layer.

        Returns the keys and values that attention runs over. Call `slots` first in each step.
        Newer decoder layers pass more arguments, which this kind of cache does not need.
        """
        count = key.shape[2]
        self._reserve(key, layer_idx)
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        if self.static and self.length:
            assert self._slots is not None
            return keys.index_copy_(2, self._slots, key), values.index_copy_(2, self._slots, value)
        end = self.length + count
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, count: int) -> None:
        """Mark `count` positions as filled, after all layers have stored them."""
        self.length += count
        if self._next is not None:
            self._next += count

    def rewind(self, length: int) -> None:
        """Drop the positions from `length` on."""
        self.length = length
        if self._next is not None:
            self._next.fill_(length)

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values of a layer, (batch, kv_heads, length, head_width)."""
        return self._keys[index][:, :, : self.length], self._values[index][:, :, : self.length]

    def _reserve(self, key: Tensor, layer: int) -> None:
        have, needed = self._keys.get(layer), self.length + key.shape[2]
        if have is not None and have.shape[2] >= needed:
            return
        capacity = self.static_capacity or max(needed, FIRST_CAPACITY, 2 * self.length)
        shape = (*key.shape[:2], capacity, key.shape[3])
        for store in (self._keys, self._values):
            fresh = key.new_zeros(shape)
            if have is not None:
                fresh[:, :, : self.length] = store[layer][:, :, : self.length]
            store[layer] = fresh
