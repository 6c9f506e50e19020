from __future__ import annotations

import torch
from safetensors.torch import load_file

from tests.model.golden import FILE, values

TOLERANCE = 1e-4  # other machines add up in another order


def test_golden_values() -> None:
    stored, found = load_file(FILE), values()
    assert stored.keys() == found.keys()
    for name, tensor in stored.items():
        if tensor.is_floating_point():
            assert torch.allclose(found[name], tensor, atol=TOLERANCE, rtol=TOLERANCE), name
        else:
            assert torch.equal(found[name], tensor), name
