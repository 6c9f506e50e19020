"""Attention over documents that are packed into one row, each attending only to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from wavemill.model import blocks

if TYPE_CHECKING:
    from wavemill.model.llm.cache import Stepping

IMPLEMENTATION = "wavemill_packed"  # its name among the attention functions of `transformers`
FLASH_DTYPES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Documents:
    """The spans of the documents in a row."""

    lengths: tuple[int, ...]  # positions
    bounds: Tensor  # int32 (documents + 1,), on the device
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Documents:
        bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        # Made elsewhere, so that a GPU need not finish its work first.
        return cls(tuple(lengths), bounds.to(device, non_blocking=True), max(lengths))


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    documents: Documents | None = None,
    rows: Stepping | None = None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attend causally, and within each of the `documents` if they are given.

    Layers of an encoder, which say so by `is_causal`, attend to what comes later as well.

    `query` is (batch, heads, positions, width), `key` and `value` have fewer heads; returns
    (batch, positions, heads, width), the shape that decoder layers expect. With documents, batch
    is 1 and there is no mask: only the blocks on the diagonal are computed. With `rows`, each
    position is the next of a row of its own, and `key` and `value` are the buffers of a cache.
    """
    if rows is not None:
        return rows.attend(query, key, value, scaling), None
    if documents is None:
        return blocks.sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **rest
        )
    query, key, value = autocast(query, key, value)
    causal = bool(getattr(module, "is_causal", True))
    if flash(query):
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
        bounds, longest = documents.bounds, documents.longest
        attended = varlen_attn(
            q, k, v, bounds, bounds, longest, longest,
            scale=scaling, window_size=(-1, 0 if causal else -1), enable_gqa=True,
        )  # fmt: skip
        assert isinstance(attended, Tensor)
        return attended[None], None
    parts = (torch.split(x, list(documents.lengths), dim=2) for x in (query, key, value))
    seen = [
        scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling, enable_gqa=True)
        for q, k, v in zip(*parts, strict=True)
    ]
    return torch.cat(seen, dim=2).transpose(1, 2), None


def flash(query: Tensor) -> bool:
    """Return whether `varlen_attn` takes such queries."""
    return query.is_cuda and query.dtype in FLASH_DTYPES


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors in the dtype of autocast, if autocast is on.

    The rotary embedding in float32 leaves queries and keys in float32, which `varlen_attn` does
    not accept.
    """
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


@cache
def implementation() -> str:
    """Make `attention` known to decoder layers; return the name that they know it by."""
    blocks.register_attention(IMPLEMENTATION, attention)
    return IMPLEMENTATION
