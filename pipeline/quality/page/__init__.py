"""The quality page: one HTML file with everything in it, which needs no network.

What tables say (names of files, transcripts, metadata) travels as JSON in a block that no browser
executes, and the scripts put it into the page as text only. Scripts run by their hash alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

from wavemill.pipeline.quality.figures import Figures
from wavemill.pipeline.quality.samples import Samples
from wavemill.pipeline.store import Store

PAGE = "report/index.html"
SCRIPTS = (
    "text.js",
    "theme.js",
    "charts.js",
    "overview.js",
    "distributions.js",
    "hours.js",
    "rejections.js",
    "what_if_model.js",
    "what_if.js",
    "listen.js",
    "timeline.js",
    "spoken.js",
    "change.js",
    "browse.js",
    "main.js",
)
CHARTS = "window.vegaEmbed = vegaEmbed;"  # Vega, Vega-Lite and Vega-Embed, in one script
_BUNDLE = """
import contextlib, os, sys, vl_convert
with contextlib.suppress(BrokenPipeError):  # the report ended before it wrote a page
    sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1]).encode())
    sys.stdout.buffer.flush()
os._exit(0)
"""
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; "
    "media-src {origin}blob:; connect-src {connect}; base-uri 'none'; form-action 'none'"
)
# In JSON inside of HTML: what could end the block, or a line of a script.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_page(store: Store, figures: Figures, samples: Samples) -> None:
    """Write WORKDIR/report/index.html."""
    store.write_text(PAGE, render({"figures": asdict(figures), "samples": asdict(samples)}))


def render(data: dict[str, Any], live: bool = False) -> str:
    """Return the page with `data` in it; a `live` one asks its server for everything."""
    html = _read("page.html")
    for name, text in (
        ("policy", policy(live)),
        ("style", _read("page.css")),
        ("data", as_json(data).translate(_ESCAPES)),
        ("charts", _charts()),
        ("script", _script()),
    ):
        html = html.replace(f"<!-- {name} -->", text, 1)
    return html


def as_json(data: Any) -> str:
    """Return JSON; numbers that it does not know (not a number, infinite) are null."""
    return json.dumps(_finite(data), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def policy(live: bool) -> str:
    """Return the Content-Security-Policy: no network, and no scripts but our own."""
    scripts = " ".join(f"'sha256-{_sha256(text)}'" for text in (_charts(), _script()))
    origin, connect = ("'self' ", "'self'") if live else ("", "'none'")
    return _POLICY.format(scripts=scripts, origin=origin, connect=connect)


@cache
def _charts_process() -> subprocess.Popen[bytes]:
    """Bundle the chart library in a process of its own: it takes seconds and Python's lock."""
    command = [sys.executable, "-c", _BUNDLE, CHARTS]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def begin() -> None:
    """Begin what a page needs whatever is on it, so that it is ready when the page is written."""
    _charts_process()


@cache
def _charts() -> str:
    bundle, _ = _charts_process().communicate()
    if _charts_process().returncode:
        raise RuntimeError("the chart library could not be bundled; the message is above")
    return bundle.decode("utf-8")


@cache
def _script() -> str:
    """Return our own scripts as one, in a scope of its own."""
    return f'"use strict";{{\n{"".join(map(_read, SCRIPTS))}}}\n'


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
