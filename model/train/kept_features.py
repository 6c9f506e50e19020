"""Features of sounds that a frozen encoder gave, so that it gives them once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

MB = 1 << 20


class KeptFeatures:
    """Features by their log-mels, those that were used last, up to a size in memory.

    Each log-mel is encoded alone, so that its features do not depend on what is kept.
    """

    def __init__(self, megabytes: float) -> None:
        self._most, self._held = int(megabytes * MB), 0
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()

    def of(self, mels: Tensor, encode: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Return the features of each of `mels`, float32 (pieces, bands, frames).

        `encode` takes one, (1, bands, frames), and returns its features (1, rows, width), which
        must not need gradients.
        """
        return [self._of(one, encode) for one in mels]

    def clear(self) -> None:
        """Forget all, since the encoder changes."""
        self._rows.clear()
        self._held = 0

    def _of(self, mel: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        content = mel.contiguous().cpu().numpy().tobytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key].to(mel.device)
        rows = encode(mel[None])[0].detach()
        self._rows[key] = rows.cpu()
        self._held += rows.nbytes
        while self._held > self._most and self._rows:
            _, oldest = self._rows.popitem(last=False)
            self._held -= oldest.nbytes
        return rows
