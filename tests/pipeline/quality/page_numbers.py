"""Every number that a page shows, against queries written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb

from tests.browser import Visit


def digits(value: float, count: int = 0) -> str:
    """Write a number as the page does."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-count), ROUND_HALF_UP)
    return f"{rounded:,}".replace("-", "−")


@dataclass(frozen=True)
class Audio:
    """Equals the texts that the page may show for hours: a sum's last bits depend on its order."""

    hours: float

    def __eq__(self, shown: object) -> bool:
        return shown in {audio(self.hours * (1 + e)) for e in (-1e-9, 0, 1e-9)}


def audio(hours: float) -> str:
    """Write hours as the page does: in h, min or s."""
    units = (("h", 1), ("min", 60), ("s", 3600))
    unit, per = next((u for u in units if abs(hours) * u[1] >= 1), units[-1])
    value = hours * per
    return f"{digits(value, 0 if value >= 100 or value == 0 else 1)} {unit}"


def hours(row: dict[str, Any], *names: str) -> list[Audio]:
    return [Audio(row[name]) for name in names]


def counts(row: dict[str, Any], *names: str) -> list[str]:
    return [digits(row[name]) for name in names]


def cells(seen: Visit, selector: str) -> tuple[str, list[list[str]]]:
    """Return the query that stands above a table, if there is one, and the table's cells."""
    query, rows = seen.page.evaluate(
        """(selector) => {
          const place = document.querySelector(`${selector} details, ${selector} .scroll`);
          const cells = (row) => [...row.cells].map((cell) => cell.textContent);
          const rows = [...place.querySelectorAll("tbody tr")].map(cells);
          return [place.querySelector("code")?.textContent ?? "", rows];
        }""",
        selector,
    )
    return query, [[cell.replace("\u00a0", " ") for cell in row] for row in rows]


def check_tiles(seen: Visit, database: duckdb.DuckDBPyConnection) -> None:
    """Check the headline."""

    def one(query: str) -> Any:
        return database.execute(query).fetchall()[0][0]

    input_ms = one("select sum(duration_ms) from accounting")
    kept_ms = one("select sum(kept_ms) from accounting")
    recordings = one("select count(*) from accounting")
    segments = one("select count(*) from segments")
    kept = one("select count(*) from segments where status = 'kept'")
    speakers = one("select count(*) from hours_by_speaker")
    median = "select median({}) from segments where status = 'kept'"
    dnsmos, snr, confidence = (
        one(median.format(column)) for column in ("dnsmos_overall", "snr_db", "asr_confidence")
    )
    kinds = one("select count(*) from (select distinct stage, reason from errors)")
    errors = f"{digits(one('select count(*) from errors'))} " + (
        f"in {kinds} kinds" if kinds else "nothing failed"
    )
    share = digits(100 * kept / segments, 1)
    expected = {
        "Input": f"{audio(input_ms / 3.6e6)} {digits(recordings)} recordings",
        "Kept": f"{audio(kept_ms / 3.6e6)} {digits(100 * kept_ms / input_ms, 1)}% of input",
        "Segments kept": f"{digits(kept)} of {digits(segments)} ({share}%)",
        "Speakers": f"{digits(speakers)} unnamed ones count per recording",
        "Median DNSMOS": f"{digits(dnsmos, 2)} of kept segments, 1 to 5",
        "Median SNR": f"{digits(snr, 1)} dB of kept segments",
        "Median confidence": f"{digits(confidence, 2)} of kept transcripts, 0 to 1",
        "Errors": errors,
    }
    shown = [
        [part.replace("\u00a0", " ") for part in tile.locator("h3, p").all_inner_texts()]
        for tile in seen.page.locator(".tile").all()
    ]
    assert {name: " ".join(rest) for name, *rest in shown} == expected


def check_tables(seen: Visit, database: duckdb.DuckDBPyConnection) -> None:
    """Run the query that stands above each table and compare what it gives."""

    def run(selector: str) -> tuple[list[dict[str, Any]], list[list[str]]]:
        query, found = cells(seen, selector)
        return database.sql(query).to_arrow_table().to_pylist(), found

    check_accounting(*run("#overview figure"))
    rows, found = run("#funnel figure")
    assert [line[1:] for line in found] == [
        [*hours(r, "hours_in", "hours_out"), *counts(r, "recordings_in", "recordings_out")]
        for r in rows
    ]
    rows, found = run("#rejections figure")
    assert len(found) == len(rows)
    for row, line in zip(rows, found, strict=True):
        assert line[1::4] == counts(row, "segments", "only_segments")
        assert line[2:5] == hours(row, "hours", "first_hours", "only_hours")
    for name in ("sources", "languages", "speakers"):
        counted = "recordings" if name == "sources" else "segments"
        rows, found = run(f"#hours .{name}")
        if name != "sources":
            rows.sort(key=by_kept)
        for row, line in zip(rows, found[:15], strict=False):
            kept = row["kept_hours"]
            share = f"{digits(100 * kept / row['hours'], 1)}%" if row["hours"] else "–"
            assert line[1:] == [Audio(row["hours"]), Audio(kept), share, digits(row[counted])]
    for card in range(seen.page.locator("#distribution-charts figure").count()):
        rows, found = run(f"#distribution-charts figure:nth-child({card + 1})")
        for r, line in zip(rows, found, strict=True):
            assert line[1::2] == counts(r, "kept", "rejected")
            assert line[2::2] == hours(r, "kept_hours", "rejected_hours")

    rows = database.sql("from stage_speed").to_arrow_table().to_pylist()
    _, found = cells(seen, "#speed")
    assert [line[2:4] for line in found] == [hours(r, "audio_hours", "worker_hours") for r in rows]


def check_accounting(classes: list[dict[str, Any]], found: list[list[str]]) -> None:
    by_class: dict[str, int] = {}
    for row in classes:
        by_class[row["class"]] = by_class.get(row["class"], 0) + row["ms"]
    shown = {name: (hours, ms) for name, hours, ms, _ in found}
    assert shown["input"][1] == digits(sum(by_class.values()))
    for name in ("kept", "rejected", "non_speech", "error"):
        ms = by_class.get(name, 0)
        if ms:
            assert shown[name.replace("_", "-")] == (Audio(ms / 3.6e6), digits(ms))
    for row in classes:
        if row["rule"]:
            rule = row["rule"].replace("_", " ").replace("snr", "SNR").replace("dnsmos", "DNSMOS")
            key = f"rejected first by {rule.replace('asr', 'ASR')}"
            assert shown[key] == (Audio(row["ms"] / 3.6e6), digits(row["ms"]))


def by_kept(row: dict[str, Any]) -> tuple[Any, ...]:
    """Order speakers and languages as the page does."""
    names = (row.get("recording_id"), row.get("speaker"), row.get("language"))
    return (-row["kept_hours"], -row["hours"], *((name is None, name or "") for name in names))
