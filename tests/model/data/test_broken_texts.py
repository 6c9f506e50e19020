"""One odd line of JSONL ended the training; and each window read the file from its start."""

from __future__ import annotations

from pathlib import Path

from wavemill.model.data.texts import Texts


def test_lines_that_are_no_text_are_told_and_passed_over(tmp_path: Path) -> None:
    lines = [
        b'{"text": "one"}',
        b'{"text": "half of a pair: \\ud83d"}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"text": ""}',
        b"",
        b'{"text": "\xe4\xba\x8c <|endoftext|>"}',
    ]
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(lines))
    texts = Texts.open([str(tmp_path)])
    assert [one.text for one in texts.documents(0)] == ["one", "二 <|endoftext|>"]
    assert texts.problems.counts == {"no_text": 3, "broken_text": 1}


def test_a_place_in_jsonl_is_a_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "één"}\n\n{"text": "two"}\n{"text": "three"}', encoding="utf-8")
    texts = Texts.open([str(file)])
    found = list(texts.documents(0))
    for place, one in enumerate(found):
        assert [t.text for t in texts.documents(0, one.next_row)] == ["één", "two", "three"][
            place + 1 :
        ]
    assert found[-1].next_row == file.stat().st_size
