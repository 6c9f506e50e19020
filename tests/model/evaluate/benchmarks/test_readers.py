"""Downloads in the layouts of their makers, made here in small, as items."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers import read_source
from wavemill.model.evaluate.benchmarks.readers.layout import SourceError
from wavemill.model.evaluate.benchmarks.schema import benchmark_named
from wavemill.model.evaluate.sound import decoded, encoded

RATE = 16_000
Cuts = list[tuple[Path, float, float | None]]


def sound(seconds: float = 0.1, form: str = "WAV") -> bytes:
    return encoded(np.full(round(seconds * RATE), 0.1, np.float32), RATE, form)


def put(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def no_cut(*_: object) -> bytes:
    raise AssertionError("this data set has a file per item")


def librispeech(root: Path) -> None:
    folder = root / "LibriSpeech/test-clean/61/70968"
    put(folder / "61-70968.trans.txt", "61-70968-0000 HE BEGAN\n61-70968-0001 A CONFUSED\n")
    for number in range(2):
        put(folder / f"61-70968-000{number}.flac", sound(form="FLAC"))


def fleurs(root: Path) -> None:
    rows = [
        ("1", "10.wav", "Raw, Text", "raw text", "r a w", "1600", "MALE"),
        ("1", "11.wav", "Other.", "other", "o t h", "1600", "FEMALE"),
    ]
    put(root / "data/en_us/test.tsv", "".join("\t".join(row) + "\n" for row in rows))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for row in rows:
            content = sound()
            member = tarfile.TarInfo(f"test/{row[1]}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    put(root / "data/en_us/audio/test.tar.gz", buffer.getvalue())


def aishell(root: Path) -> None:
    text = "BAC009S0764W0121 甚至 出现\nBAC009S0002W0122 而 对\n"
    put(root / "data_aishell/transcript/aishell_transcript_v0.8.txt", text)
    put(root / "data_aishell/wav/test/S0764/BAC009S0764W0121.wav", sound())


def wenetspeech(root: Path) -> None:
    def segment(sid: str, begin: float, end: float, subset: str) -> dict[str, object]:
        times = {"begin_time": begin, "end_time": end}
        return {"sid": sid, "text": f"字{sid}", "subsets": [subset], "confidence": 1.0, **times}

    audios = [
        {"aid": "Y0", "path": "audio/train/Y0.opus", "segments": [segment("Y0_S0", 0, 1, "L")]},
        {
            "aid": "T0",
            "path": "audio/test_net/B0/T0.opus",
            "segments": [
                segment("T0_S0", 1.5, 2.25, "TEST_NET"),
                segment("T0_S1", 3, 4, "TEST_NET"),
            ],
        },
    ]
    put(root / "WenetSpeech.json", json.dumps({"dataset": "WenetSpeech", "audios": audios}))
    put(root / "audio/test_net/B0/T0.opus", b"opus")


def esc50(root: Path) -> None:
    header = "filename,fold,target,category,esc10,src_file,take\n"
    rows = "5-1-A-10.wav,5,10,rain,True,1,A\n1-2-A-11.wav,1,11,sea_waves,False,2,A\n"
    put(root / "ESC-50-master/meta/esc50.csv", header + rows)
    put(root / "ESC-50-master/audio/5-1-A-10.wav", sound())


def iemocap(root: Path) -> None:
    session = root / "IEMOCAP_full_release/Session5"
    label = "Ses05F_impro01"
    lines = [
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "",
        f"[6.2901 - 8.2357]\t{label}_F000\tneu\t[2.5000, 2.5000, 2.5000]",
        "C-E2:\tNeutral;\t()",
        f"[10.0 - 11.0]\t{label}_M000\texc\t[4.0, 3.0, 3.0]",
        f"[12.0 - 13.0]\t{label}_M001\txxx\t[4.0, 3.0, 3.0]",
    ]
    put(session / f"dialog/EmoEvaluation/{label}.txt", "\n".join(lines))
    for turn in ("F000", "M000"):
        put(session / f"sentences/wav/{label}/{label}_{turn}.wav", sound())


def meld(root: Path) -> None:
    names = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode"
    names += ",StartTime,EndTime"
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names.split(","))
    rest = ("neutral", "0", "0", "3", "19")
    writer.writerow(["1", "Why, yes!", "Mark", "surprise", *rest, "00:16:16,059", "00:16:21,731"])
    writer.writerow(
        ["2", "So long", "Mark", "joy", "p", "0", "1", "3", "19", "00:16:00,0", "00:16:31,1"]
    )
    put(root / "test_sent_emo.csv", buffer.getvalue())
    put(root / "output_repeated_splits_test/dia0_utt0.mp4", b"video")


def voicebench(root: Path, subset: str, split: str, **columns: list[object]) -> None:
    audio = [{"bytes": sound(), "path": "x.wav"}] * len(next(iter(columns.values())))
    path = root / f"{subset}/{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"audio": audio, **columns}), path)


def voicebench_mmsu(root: Path) -> None:
    prompt = "What is it?\nA. a dog\nB. a cat\nC. a cow\nD. a hen"
    voicebench(root, "mmsu", "law", prompt=[prompt], reference=["B"])


def voicebench_ifeval(root: Path) -> None:
    arguments = [[{"num_words": 5, "relation": "at least", "end_phrase": None}]]
    ids = [["length_constraints:number_words"]]
    voicebench(root, "ifeval", "test", prompt=["Write."], instruction_id_list=ids, kwargs=arguments)


def voicebench_sdqa(root: Path) -> None:
    voicebench(root, "sd-qa", "usa", prompt=["Who?"], reference=["B"])
    other = root / "sd-qa/aus-00000-of-00001.parquet"
    pq.write_table(pa.table({"prompt": ["?"]}), other)


CASES: dict[str, tuple[Callable[[Path], None], list[tuple[str, tuple[str, ...]]]]] = {
    "librispeech-test-clean": (
        librispeech,
        [("61-70968-0000", ("HE BEGAN",)), ("61-70968-0001", ("A CONFUSED",))],
    ),
    "fleurs-en": (fleurs, [("10", ("raw text",)), ("11", ("other",))]),
    "aishell-1": (aishell, [("BAC009S0764W0121", ("甚至出现",))]),
    "wenetspeech-test-net": (wenetspeech, [("T0_S0", ("字T0_S0",)), ("T0_S1", ("字T0_S1",))]),
    "esc-50": (esc50, [("5-1-A-10", ("rain",))]),
    "iemocap": (
        iemocap,
        [("Ses05F_impro01_F000", ("neutral",)), ("Ses05F_impro01_M000", ("happy",))],
    ),
    "meld": (meld, [("dia0_utt0", ("surprise",))]),
    "voicebench-mmsu": (voicebench_mmsu, [("mmsu-law-00000", ("B",))]),
    "voicebench-ifeval": (voicebench_ifeval, [("ifeval-test-00000", ())]),
    "voicebench-sdqa": (voicebench_sdqa, [("sd-qa-usa-00000", ("B",))]),
}


def items_of(name: str, source: Path, cuts: Cuts | None = None) -> list[BenchmarkItem]:
    def cut(path: Path, start: float, end: float | None) -> bytes:
        assert cuts is not None
        cuts.append((path, start, end))
        return sound()

    return list(read_source(benchmark_named(name), source, no_cut if cuts is None else cut))


@pytest.mark.parametrize("name", CASES)
def test_a_layout_gives_its_items(tmp_path: Path, name: str) -> None:
    make, expected = CASES[name]
    make(tmp_path)
    cuts: Cuts | None = [] if name in ("meld", "wenetspeech-test-net") else None
    found = items_of(name, tmp_path, cuts)
    assert [(item.item_id, item.references) for item in found] == expected
    benchmark = benchmark_named(name)
    for item in found:
        assert item.audio is not None
        assert len(decoded(item.audio)) == round(0.1 * RATE)
        assert item.language == benchmark.language
        if benchmark.task == "classification":
            assert item.references[0] in benchmark.options


def test_long_recordings_are_cut_where_segments_are(tmp_path: Path) -> None:
    wenetspeech(tmp_path)
    cuts: Cuts = []
    items_of("wenetspeech-test-net", tmp_path, cuts)
    path = tmp_path / "audio/test_net/B0/T0.opus"
    assert cuts == [(path, 1.5, 2.25), (path, 3.0, 4.0)]


def test_choices_and_instructions_come_along(tmp_path: Path) -> None:
    voicebench_mmsu(tmp_path)
    (item,) = items_of("voicebench-mmsu", tmp_path)
    assert item.options == ("a dog", "a cat", "a cow", "a hen")
    voicebench_ifeval(tmp_path)
    (item,) = items_of("voicebench-ifeval", tmp_path)
    assert item.details == {
        "instruction_ids": ["length_constraints:number_words"],
        "kwargs": [{"num_words": 5, "relation": "at least"}],
    }
    voicebench_sdqa(tmp_path)
    (item,) = items_of("voicebench-sdqa", tmp_path)
    assert item.options == ()  # one letter, but no choice


def test_a_table_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavemill.model.evaluate.benchmarks.readers.wenetspeech.PIECE", 7)
    wenetspeech(tmp_path)
    assert len(items_of("wenetspeech-test-net", tmp_path, [])) == 2


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    for name in CASES:
        with pytest.raises(SourceError, match="there is no"):
            items_of(name, tmp_path, [])
    librispeech(tmp_path)
    (tmp_path / "LibriSpeech/test-clean/61/70968/61-70968-0001.flac").unlink()
    with pytest.raises(SourceError, match=r"61-70968-0001\.flac: No such file.*trans\.txt"):
        items_of("librispeech-test-clean", tmp_path)


def test_a_missing_column_is_one_clear_error(tmp_path: Path) -> None:
    put(tmp_path / "meta/esc50.csv", "filename,fold\nx.wav,5\n")
    with pytest.raises(SourceError, match="no column 'category'; it has filename, fold"):
        items_of("esc-50", tmp_path)
    voicebench(tmp_path, "openbookqa", "test", prompt=["?"])
    with pytest.raises(SourceError, match="no column 'reference'"):
        items_of("voicebench-openbookqa", tmp_path)
    put(tmp_path / "data/en_us/test.tsv", "1\t10.wav\n")
    with pytest.raises(SourceError, match="line 1: 2 columns, not 7"):
        items_of("fleurs-en", tmp_path)


def test_recordings_that_the_archive_lacks_are_counted(tmp_path: Path) -> None:
    fleurs(tmp_path)
    with (tmp_path / "data/en_us/test.tsv").open("a", encoding="utf-8") as file:
        file.write("2\t12.wav\tx\tx\tx\t1\tMALE\n")
    with pytest.raises(SourceError, match=r"1 recordings are not there, e\.g\. 12\.wav"):
        items_of("fleurs-en", tmp_path)


def test_what_has_no_reader_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no reader for tut2017"):
        items_of("tut2017", tmp_path)


def test_damaged_files_are_one_clear_error(tmp_path: Path) -> None:
    fleurs(tmp_path)
    put(tmp_path / "data/en_us/audio/test.tar.gz", b"no archive")
    with pytest.raises(SourceError, match="ReadError"):
        items_of("fleurs-en", tmp_path)
    put(tmp_path / "data_aishell/transcript/aishell_transcript_v0.8.txt", b"\xff\xfe\xfa")
    with pytest.raises(SourceError, match="utf-8"):
        items_of("aishell-1", tmp_path)
    put(tmp_path / "WenetSpeech.json", '{"audios": [{"aid": "x"')
    with pytest.raises(SourceError, match="ends in the middle of 'audios'"):
        items_of("wenetspeech-test-net", tmp_path)
    voicebench(tmp_path, "sd-qa", "usa", prompt=[None], reference=["B"])
    with pytest.raises(SourceError, match=r"usa-00000-of-00001\.parquet, row 0"):
        items_of("voicebench-sdqa", tmp_path)


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    esc50(tmp_path)
    put(tmp_path / "ESC-50-master/meta/esc50.csv", "filename,fold,category\n")
    with pytest.raises(SourceError, match="no items were found"):
        items_of("esc-50", tmp_path)
