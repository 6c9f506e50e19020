"""Written conversations from source to corpus, with a server that writes letters as sound.

What speaks is a stub of `/v1/audio/speech`: each letter is a frame of its own level. What listens
reads the letters back. So the whole branch runs, exactly, without any model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.browser import installed, running_browser, visit
from tests.command import wavemill
from tests.manifests.support import write_lines
from tests.stages.servers import serving
from wavemill.model.data.corpus import Corpus
from wavemill.pipeline.build import build_corpus
from wavemill.pipeline.config import ConfigError, load_config
from wavemill.pipeline.curation import CONVERSATION_STAGES, Config, make_graph
from wavemill.pipeline.library.corpus import open_workdir
from wavemill.pipeline.quality.database import newest_snapshot
from wavemill.pipeline.quality.figures import read_figures
from wavemill.pipeline.quality.page import PAGE
from wavemill.pipeline.quality.samples import read_samples
from wavemill.pipeline.quality.shard_rows import page_database
from wavemill.pipeline.store import Store
from wavemill.stages.diarize.campplus_network import CamPlusPlus
from wavemill.stages.listen.stage import REFERENCE
from wavemill.stages.score_audio.dnsmos import Dnsmos
from wavemill.stages.score_audio.engine import Quality
from wavemill.stages.speak.kokoro import Kokoro
from wavemill.stages.transcribe.engine import Transcript
from wavemill.stages.transcribe.faster_whisper import FasterWhisper

pytest.importorskip("num2words")
RATE = 16_000
FRAME = RATE // 20
QUIETEST = 0.2


def chat(*texts: str, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"messages": messages, **fields}


CHATS = [
    chat("What is two plus two?", "It is **4**.", id="sums", license="CC0"),
    chat("Who is there tonight?", "Nobody is there.", "Are you sure?", "Quite sure, yes."),
    chat("See https://a.example/b for it.", "I will."),
    chat("Please mumble this sentence once.", "Here I am again."),
    chat("Please garble this sentence always.", "I am fine."),
    chat("Please refuse this sentence now.", "I am fine, too."),
]


@dataclass
class Server:
    """Speaks, and counts what it was asked."""

    asked: list[str] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)
    down: bool = False

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        request = json.loads(body)
        text, seed = request["input"], request["seed"]
        self.asked.append(text)
        self.voices.append(request["voice"])
        if self.down:
            return 503, b"starting"
        if "refuse" in text:
            return 400, b"I do not say that"
        if "garble" in text or ("mumble" in text and not seed):
            text = "something else altogether was said here"
        return 200, sound(text)


def sound(text: str) -> bytes:
    levels = [QUIETEST + (ord(letter) - 31) / 160 for letter in text]
    file = io.BytesIO()
    soundfile.write(file, np.repeat(levels, FRAME), RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def letters(clip: np.ndarray) -> str:
    """Read what `sound` wrote; clips are scaled to their peak only where it is above 0.9."""
    start, end = np.flatnonzero(clip > 0.1)[[0, -1]]
    frames = clip[start : end + 1]
    count = round(len(frames) / FRAME)
    middle = [frames[int((n + 0.5) * len(frames) / count)] for n in range(count)]
    return "".join(chr(round((level - QUIETEST) * 160) + 31) for level in middle)


@pytest.fixture(autouse=True)
def listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    def transcribe(_: Any, clips: Sequence[np.ndarray]) -> list[Transcript]:
        return [Transcript(letters(clip), (), "en", 0.9) for clip in clips]

    def quality(_: Any, clips: Sequence[np.ndarray]) -> list[Quality | None]:
        return [Quality(3.0, 3.0, 3.0) for _ in clips]

    class Voice:
        def features(self, clip: np.ndarray) -> np.ndarray:
            return np.ones((len(clip) // 320, 4), np.float32)

        def embedded(self, statistics: np.ndarray) -> np.ndarray:
            return statistics + 1

    for engine in (FasterWhisper, Dnsmos):
        monkeypatch.setattr(engine, "load", lambda *_: None)
    monkeypatch.setattr(FasterWhisper, "transcribe", transcribe)
    monkeypatch.setattr(Dnsmos, "quality", quality)
    monkeypatch.setattr(CamPlusPlus, "load", classmethod(lambda *_: Voice()))


@pytest.fixture
def server() -> Server:
    return Server()


def settings_of(url: str) -> list[str]:
    """Return settings with which the server at `url` speaks, and nothing varies."""
    return [
        "execution.executor=inline",
        "speak.engine=openai_speech",
        f"speak.openai_speech.url={url}",
        "speak.openai_speech.seeds=true",
        "speak.openai_speech.tries=1",
        "speak.clip.peak=1",
        "cast.user_voices=[ann,bob]",
        "cast.blends=0",
        "cast.pitch=0",
        "cast.assistant_voice=eve",
        "listen.again.max_words_per_second=100",
        "verdict_spoken.max_words_per_second=100",
        "augment.room_share=0",
        "augment.noise_share=0",
        "augment.telephone_share=0",
    ]


Curate = Callable[..., Any]


@pytest.fixture
def curate(server: Server, tmp_path: Path) -> Iterator[Curate]:
    """Build from lines of a manifest; gives the summary."""
    with serving(server) as url:

        def run(lines: Sequence[Any], *overrides: str, name: str = "chats.jsonl") -> Any:
            settings = [*settings_of(url), *overrides]
            config: Any = load_config(Config, "embedded", None, settings)
            source = write_lines(tmp_path / name, lines)
            return build_corpus([str(source)], str(tmp_path / "W"), config, "test").summary

        yield run


def table(out: Path, name: str = "sft_spoken") -> list[dict[str, Any]]:
    paths = sorted((out / "corpus" / name).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths]).to_pylist()


def tasks(out: Path) -> dict[str, set[str]]:
    """Return the tasks of each conversation, by its prompt."""
    found: dict[str, set[str]] = {}
    for row in table(out):
        spoken = json.loads(row["metadata"])["spoken"]
        found.setdefault(spoken[0]["written"], set()).add(row["task"])
    return found


def test_from_text_to_corpus(curate: Curate, tmp_path: Path) -> None:
    summary = curate([*CHATS, {"messages": []}, "no JSON"])
    assert summary.conversations == len(CHATS)
    out = tmp_path / "W"
    assert tasks(out) == {
        CHATS[0]["messages"][0]["content"]: {"chat", "conversation"},
        CHATS[1]["messages"][0]["content"]: {"chat", "conversation"},
        CHATS[3]["messages"][0]["content"]: {"chat", "conversation"},
    }
    rows = {(row["task"], row["license"]): row for row in table(out)}
    row = rows["conversation", "CC0"]
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    question, answer = row["messages"]
    assert (question["kind"], question["text"]) == ("audio", None)
    assert (answer["kind"], answer["text"]) == ("audio", "It is four.")
    clip, _ = soundfile.read(io.BytesIO(answer["audio"]["bytes"]))
    assert letters(clip) == "It is four."
    assert len(answer["semantic_tokens"]) == -(-len(clip) * 1000 // RATE // 80)
    about = json.loads(row["metadata"])
    assert about["id"] == "sums"
    assert about["spoken"][1]["written"] == "It is **4**."
    assert about["spoken"][1]["voice"] == "eve"
    written = rows["chat", "CC0"]["messages"][1]
    assert (written["kind"], written["text"]) == ("text", "It is **4**.")
    errors = pq.read_table(out / "corpus" / "errors.parquet").to_pylist()
    assert sorted((e["stage"], e["reason"]) for e in errors) == [
        ("manifest", "bad_conversation"),
        ("manifest", "bad_manifest_line"),
        ("speak", "not_spoken"),
    ]


def test_what_users_say_can_be_written_down(curate: Curate, tmp_path: Path) -> None:
    curate(CHATS[:1], "sft_spoken.tasks=[asr]")
    (row,) = table(tmp_path / "W")
    asked, heard, said = row["messages"]
    assert (row["task"], row["sample_id"]) == ("asr", f"{row['recording_id']}-0-asr")
    assert [m["role"] for m in row["messages"]] == ["user", "user", "assistant"]
    assert (asked["kind"], heard["kind"], said["kind"]) == ("text", "audio", "text")
    clip, _ = soundfile.read(io.BytesIO(heard["audio"]["bytes"]))
    assert said["text"] == letters(clip)
    assert len(json.loads(row["metadata"])["spoken"]) == 1


def test_the_command_tells_of_conversations(server: Server, tmp_path: Path) -> None:
    source, out = write_lines(tmp_path / "chats.jsonl", CHATS[:1]), tmp_path / "W"
    with serving(server) as url:
        settings = [f"--set={setting}" for setting in settings_of(url)]
        done = wavemill("curate", source, "--out", out, "--profile-run", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rows in sft_spoken" in done.stdout
    assert "conversations" in done.stdout
    assert "segments" not in done.stdout  # there are no recordings
    stages = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert {"speak", "listen", "tokenize_spoken"} <= set(stages)


def test_what_fails_is_spoken_again(curate: Curate, tmp_path: Path, server: Server) -> None:
    curate(CHATS[3:5])
    mumbled, garbled = (
        [v for text, v in zip(server.asked, server.voices, strict=True) if word in text]
        for word in ("mumble", "garble")
    )
    assert len(mumbled) == 2
    assert len(set(mumbled)) == 1
    assert len(garbled) == 3
    assert garbled[0] == garbled[1] != garbled[2]
    with open_workdir(tmp_path / "W") as work:
        clips = work.table("clips").filter("role = 'user'").to_arrow_table().to_pylist()
        assert {(c["attempts"], c["kept"]) for c in clips} == {(2, True), (3, False)}
        assert work.table("spoken_yield").to_arrow_table().num_rows > 0
        statuses = work.table("conversations").to_arrow_table()["status"].to_pylist()
        assert sorted(statuses) == ["kept", "partly kept"]


def test_a_user_elsewhere_has_a_clean_twin(curate: Curate, tmp_path: Path, server: Server) -> None:
    curate(CHATS[:4], "augment.telephone_share=1", "augment.room_share=0")
    rows = {(row["task"], row["license"]): row for row in table(tmp_path / "W")}
    question, answer = rows["conversation", "CC0"]["messages"]
    assert soundfile.info(io.BytesIO(question["audio"]["bytes"])).samplerate == 8_000
    assert soundfile.info(io.BytesIO(answer["audio"]["bytes"])).samplerate == RATE
    spoken = json.loads(rows["conversation", "CC0"]["metadata"])["spoken"]
    assert spoken[0]["surroundings"]["telephone"] is True
    assert "surroundings" not in spoken[1]
    with open_workdir(tmp_path / "W") as work:
        clean, _ = soundfile.read(io.BytesIO(work.clip(spoken[0]["clip"])))
        assert letters(clean) == CHATS[0]["messages"][0]["content"]
        (again,) = work.table("clips").filter("attempts = 2").select("segment_id").fetchall()
        mumbled, _ = soundfile.read(io.BytesIO(work.clip(again[0])))
        assert letters(mumbled) == CHATS[3]["messages"][0]["content"]
        with pytest.raises(ConfigError, match="there is no clip 'x'"):
            work.clip("x")
    asked = len(server.asked)
    curate(CHATS[:4], "augment.telephone_share=0", "augment.room_share=0", "augment.noise_share=0")
    assert len(server.asked) == asked
    rates = {
        soundfile.info(io.BytesIO(message["audio"]["bytes"])).samplerate
        for row in table(tmp_path / "W")
        for message in row["messages"]
        if message["audio"]
    }
    assert rates == {RATE}


def test_the_page_has_questions_and_answers(curate: Curate, tmp_path: Path) -> None:
    curate(CHATS[:5], "augment.telephone_share=1")
    store = Store.open(str(tmp_path / "W"))
    snapshot = newest_snapshot(store)
    with page_database(store, snapshot, "test") as database:
        figures = read_figures(database, store, snapshot)
        samples = read_samples(database, store, snapshot)
    assert figures.spoken
    statuses = [one.status for one in samples.conversations]
    assert statuses == ["kept"] * 3 + ["partly kept"]
    for conversation in samples.conversations:
        for message in conversation.messages:
            versions = [sound.version for sound in message.sounds]
            elsewhere = message.role == "user" and message.kept
            assert versions == ["as spoken", *["in its surroundings"] * elsewhere]
            assert all(sound.webm and sound.peaks for sound in message.sounds)
            assert bool(message.rules) is not message.kept


def test_the_page_plays_them(curate: Curate, tmp_path: Path) -> None:
    installed()  # skip before any work
    curate(CHATS[:5])
    assert wavemill("report", tmp_path / "W").returncode == 0
    with running_browser() as browser, visit(browser, (tmp_path / "W" / PAGE).as_uri()) as seen:
        cards = seen.page.locator("#spoken-conversations article")
        assert cards.count() == 4
        assert CHATS[0]["messages"][0]["content"] in seen.text("#spoken-conversations")
        seconds = seen.page.evaluate(
            """() => new Promise((done) => {
              const audio = document.querySelector("#spoken-conversations audio");
              const told = () => done(audio.duration);
              if (audio.readyState) told(); else audio.addEventListener("loadedmetadata", told);
            })"""
        )
    shortest = min(len(chat["messages"][0]["content"]) for chat in CHATS[:5]) * FRAME / RATE
    assert seconds >= shortest


def test_a_moved_threshold_speaks_nothing(curate: Curate, tmp_path: Path, server: Server) -> None:
    curate(CHATS[:5])
    before = len(server.asked)
    curate(CHATS[:5], "verdict_spoken.max_word_error=5")
    assert len(server.asked) == before
    assert CHATS[4]["messages"][0]["content"] in tasks(tmp_path / "W")
    curate(CHATS[:5], "screen.max_urls=1")
    said = server.asked[before:]
    assert "I will." in said
    assert all("mumble" not in text for text in said)


def test_a_new_voice_speaks_what_it_must(curate: Curate, tmp_path: Path, server: Server) -> None:
    lines = [chat(f"What is the {n}th letter?", f"It is letter {n}.") for n in range(12)]
    curate(lines)
    assert len(table(tmp_path / "W")) == 24
    before = len(server.asked)
    curate(lines, "cast.user_voices=[ann,bob,cid]")
    new = [text for text in server.asked[before:] if text != REFERENCE]
    assert new
    assert all("letter?" in text for text in new)
    assert len(new) < 12
    assert len(table(tmp_path / "W")) == 24


def test_a_server_that_was_down_is_asked_again(
    curate: Curate, tmp_path: Path, server: Server
) -> None:
    server.down = True
    summary = curate(CHATS[:1])
    assert [(e.stage, e.reason) for e in summary.errors] == [("speak", "server_down")]
    assert table(tmp_path / "W") == []
    server.down = False
    assert curate(CHATS[:1]).errors == ()
    assert len(table(tmp_path / "W")) == 2


def test_training_reads_them_as_sft(curate: Curate, tmp_path: Path) -> None:
    curate(CHATS[:2])
    corpus = Corpus.open(str(tmp_path / "W"), "sft")
    found = [c for file in range(len(corpus.files.files)) for c in corpus.conversations(file)]
    assert len(found) == 4
    assert corpus.codebook_size > 0
    both = [c for c in found if c.task == "conversation"]
    assert all(m.sound is not None for c in both for m in c.messages)
    assert not corpus.problems.counts


def test_the_same_rows_whatever_was_there_before(curate: Curate, tmp_path: Path) -> None:
    curate(CHATS[:4])
    first = {row["sample_id"]: row["messages"] for row in table(tmp_path / "W")}
    (tmp_path / "W").rename(tmp_path / "old")
    curate(CHATS[:2])
    curate(CHATS[:4])
    assert {row["sample_id"]: row["messages"] for row in table(tmp_path / "W")} == first


def test_the_graph_has_their_stages_only_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Kokoro, "check_packages", lambda _: None)
    monkeypatch.setattr(Kokoro, "weights_identity", lambda _: "kokoro")
    config: Any = load_config(Config, "embedded")
    plain, both = make_graph(config), make_graph(config, conversations=True)
    ours = [stage.name for stage in CONVERSATION_STAGES]
    assert [*plain.stages, *ours] == list(both.stages)
    assert all(both.fingerprints[name] == plain.fingerprints[name] for name in plain.stages)
    assert "cast" not in both.stages["speak"].inputs  # so that a new cast keeps what was spoken
