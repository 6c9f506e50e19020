"""How many threads the numerical libraries of a command use on a CPU: decided here, for all.

One, unless OMP_NUM_THREADS says otherwise. Small models lose more by parting their work than they
gain, processes on one machine do not fight for its cores, and results do not depend on how many
there are. torch, OpenBLAS, MKL and whatever else is built on OpenMP read the variable when they
are loaded, and processes that a command starts inherit it. Sessions of onnxruntime, which do not
heed it, get one thread where stages make them; a training's recipe has `loop.threads`.
"""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"


def decide_threads() -> None:
    """Set the number for libraries that are loaded from now on."""
    if os.environ.get(VARIABLE):
        return
    os.environ[VARIABLE] = "1"
    import pyarrow as pa

    pa.set_cpu_count(os.cpu_count() or 1)  # it heeds the variable too; reading is not arithmetic
