"""Files of weights in the published layout: read tensor by tensor, checked by name and shape.

The flow network stands in `audio_detokenizer/model.pt` under "state_dict", its names behind
`speech_model.` (others there are not read); the vocoder in `vocoder/model.pt` under "generator",
with weight norm (fixtures: detokenizer, section 11). A `model.safetensors` with the same names
stands in for either. Pickles are read as plain tensors only.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wavemill.model.weights import WeightsError

PICKLE, SAFETENSORS = "model.pt", "model.safetensors"
READABLE = 0o644
NAMED_AT_MOST = 5  # tensors in an error message

Container = Literal["safetensors", "pt"]


@dataclass(frozen=True)
class TensorFile:
    """A file's tensors by name: shapes at once, values when they are asked for."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]

    def below(self, prefix: str) -> TensorFile:
        """Return the tensors whose name begins with `prefix`, which is taken off."""
        shapes = {
            name.removeprefix(prefix): shape
            for name, shape in self.shapes.items()
            if name.startswith(prefix)
        }
        return TensorFile(self.path, shapes, lambda name: self.read(prefix + name))

    def folded(self) -> TensorFile:
        """Return the tensors with each pair `weight_g`, `weight_v` as one `weight`.

        The norm is over all dimensions but the first, for transposed convolutions too.
        """
        pairs = {name[:-2] for name in self.shapes if name.endswith(".weight_g")}
        pairs &= {name[:-2] for name in self.shapes if name.endswith(".weight_v")}
        shapes = {name: shape for name, shape in self.shapes.items() if name[:-2] not in pairs} | {
            name: self.shapes[name + "_v"] for name in pairs
        }

        def read(name: str) -> Tensor:
            if name not in pairs:
                return self.read(name)
            direction = self.read(name + "_v").float()
            return direction * (self.read(name + "_g").float() / _row_norms(direction))

        return TensorFile(self.path, shapes, read)


def open_weights(folder: Path, entry: str) -> TensorFile:
    """Return the tensors of a folder's weights, memory-mapped; raises WeightsError.

    `entry` is the pickle's key under which they stand; a safetensors file is preferred to it.
    """
    if (folder / SAFETENSORS).is_file():
        return _open_safetensors(folder / SAFETENSORS)
    path = folder / PICKLE
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except FileNotFoundError:
        raise WeightsError(f"{folder}: neither {SAFETENSORS} nor {PICKLE}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # The message of torch goes on to explain how to run what the file asks for.
        raise WeightsError(f"{path} is no file of plain tensors: {type(error).__name__}") from None
    tensors = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        raise WeightsError(f"{path}: no entry {entry!r}")
    tensors = {str(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    return TensorFile(path, _shapes(tensors), tensors.__getitem__)


def load_into(
    module: nn.Module, source: TensorFile, device: torch.device | str, dtype: torch.dtype
) -> None:
    """Give `module`, built on the meta device, its tensors, each brought to device and dtype alone.

    Raises WeightsError naming tensors that are missing, unknown or of another shape.
    """
    wanted = _shapes(module.state_dict())
    missing = sorted(wanted.keys() - source.shapes.keys())
    unknown = sorted(source.shapes.keys() - wanted.keys())
    differing = [
        f"{name} is {source.shapes[name]}, not {shape}"
        for name, shape in wanted.items()
        if source.shapes.get(name, shape) != shape
    ]
    problems = (("missing", missing), ("unknown", unknown), ("of another shape", differing))
    found = [f"{kind}: {_named(names)}" for kind, names in problems if names]
    if found:
        raise WeightsError(f"{source.path}: tensors {'; '.join(found)}")
    tensors = {name: source.read(name).to(device, dtype) for name in wanted}
    module.load_state_dict(tensors, assign=True)


def save_weights(folder: Path, tensors: Mapping[str, Tensor], entry: str, kind: Container) -> None:
    """Write `tensors` to `folder` (made if need be), whole or not at all.

    "safetensors" is for this project and others; "pt" is what the published loader reads.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path = folder / (SAFETENSORS if kind == "safetensors" else PICKLE)
    partial = path.with_name(path.name + ".partial")
    if kind == "safetensors":
        save_file(ready, partial, {"format": "pt"})
    else:
        torch.save({entry: ready}, partial)
    partial.chmod(READABLE)  # safetensors makes files that only their owner can read
    partial.replace(path)


def with_weight_norm(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's tensors with every convolution's weight as `weight_g` and `weight_v`."""
    convolutions = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d)
    }
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if name in convolutions:
            tensors[name + "_g"] = _row_norms(tensor.float()).to(tensor.dtype)
            tensors[name + "_v"] = tensor
        else:
            tensors[name] = tensor
    return tensors


def _open_safetensors(path: Path) -> TensorFile:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is no safetensors file: {error}") from None
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return TensorFile(path, shapes, file.get_tensor)


def _row_norms(tensor: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(tensor.flatten(1), dim=1)
    return norms.view(-1, *[1] * (tensor.dim() - 1))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
