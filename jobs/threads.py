"""How many threads the numerical libraries of a command use on a CPU: decided here, for all.

One, unless OMP_NUM_THREADS says otherwise. Small models lose more by dividing their work than they
gain, processes on one machine do not compete for its cores, and results do not depend on how many
cores there are. torch, OpenBLAS, MKL and whatever else is built on OpenMP read the variable when
they are loaded, and processes that a command starts inherit it. Sessions of onnxruntime ignore it
and get one thread where stages make them; the recipe of a training has `loop.threads`.
"""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"
_decided = False


def decide_threads() -> None:
    """Set the number for libraries that are loaded from now on."""
    global _decided
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = "1"
        _decided = True


def read_with_all_cores() -> None:
    """Have pyarrow, which reads the variable too, use all cores: reading is not arithmetic.

    Does nothing where the variable was set before. Imports pyarrow, so call it before work starts
    and not before a help text is printed.
    """
    if _decided:
        import pyarrow as pa

        pa.set_cpu_count(os.cpu_count() or 1)
