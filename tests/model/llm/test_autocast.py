"""Under autocast, queries came in float32: never to the kernel that knows packed documents."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wavemill.model.llm import packed
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm


def test_attention_is_in_the_dtype_of_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[torch.dtype] = set()
    plain = packed.scaled_dot_product_attention

    def attended(q: Tensor, k: Tensor, v: Tensor, **rest: object) -> Tensor:
        seen.update((q.dtype, k.dtype, v.dtype))
        return plain(q, k, v, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(packed, "scaled_dot_product_attention", attended)
    llm = AudioLlm(preset("tiny"))
    ids = torch.ones(1, 6, dtype=torch.int64)
    documents = packed.Documents.of((2, 4), torch.device("cpu"))
    for enabled, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        seen.clear()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            llm.branches(
                ids, ids, features=None, continuous=ids < 0,
                position_ids=torch.tensor([[0, 1, 0, 1, 2, 3]]), documents=documents,
            )  # fmt: skip
        assert seen == {dtype}
