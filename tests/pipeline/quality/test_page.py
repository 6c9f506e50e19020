"""The page as a file: everything in it, nothing of it executed but our own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from wavemill.pipeline.quality.page import as_json, policy, render

EVIL = "</script><script>alert(1)</script><!-- <script> & \u2028 ' \" \u202e"


class _Scripts(HTMLParser):
    """Collects the scripts of a page, and every address that it refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((given, ""))

    def handle_endtag(self, _tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def test_what_tables_say_stays_data() -> None:
    data = {"figures": {EVIL: EVIL}}
    found = _Scripts(render(data)).scripts
    assert [attributes.get("type") for attributes, _ in found] == ["application/json", None, None]
    assert json.loads(found[0][1]) == data
    assert "<" not in found[0][1]


def test_only_our_own_scripts_may_run() -> None:
    page = render({})
    (allowed,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert allowed == policy(live=False)
    hashes = re.findall(r"'sha256-([^']+)'", allowed)
    ours = [hashlib.sha256(text.encode()).digest() for _, text in _Scripts(page).scripts[1:]]
    assert hashes == [base64.b64encode(digest).decode() for digest in ours]
    assert "default-src 'none'" in allowed
    assert "connect-src 'none'" in allowed
    assert "unsafe-eval" not in allowed
    script = allowed[allowed.index("script-src") :].split(";")[0]
    assert "unsafe-inline" not in script


def test_nothing_is_fetched() -> None:
    addresses = _Scripts(render({})).addresses
    assert addresses
    assert all(address.startswith(("#", "data:,")) for address in addresses)


def test_an_empty_page_is_small() -> None:
    assert len(render({}).encode()) < 1_500_000


def test_numbers_that_json_lacks_are_null() -> None:
    assert as_json({"a": [float("nan"), (float("inf"), 1.5)]}) == '{"a": [null, [null, 1.5]]}'


def test_our_scripts_never_make_markup_of_text() -> None:
    folder = Path(__import__("wavemill.pipeline.quality.page", fromlist=["x"]).__file__).parent
    for file in folder.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
