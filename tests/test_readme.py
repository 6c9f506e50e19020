"""The README's example engine is code that works."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tests.support import ROOT
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.stage import DenoiseSettings
from wavemill.stages.engine import fingerprint_parameters, selected_engine, with_engines


def example() -> type[DenoiseEngine[Any]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# stages/denoise/half.py.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 35
    names: dict[str, Any] = {"__name__": "half"}
    exec(compile(code, "README.md", "exec"), names)
    engine: type[DenoiseEngine[Any]] = names["Half"]
    return engine


def test_the_example_engine_runs() -> None:
    engines = {"half": example()}
    config = with_engines(DenoiseSettings, engines)(engine="half", half={"gain": 0.25})  # type: ignore[call-arg]
    engine: Any = selected_engine(config, engines)
    engine.load("cpu")
    (out,) = engine.enhance(iter([np.ones(4, np.float32)]))
    np.testing.assert_array_equal(out, np.full(4, 0.25, np.float32))
    assert fingerprint_parameters(config, engines)["engine_parameters"] == {"gain": 0.25}
