"""Every command line of the documents, run as written in a folder of its own, with small inputs.

What takes hours, a network or a server is listed here with the reason; its options are checked.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.documents import (
    DOCUMENTS,
    Line,
    check_module,
    check_parses,
    lines_of,
    make_targets,
    wavemill_words,
)
from tests.model.evaluate.benchmarks.test_readers import librispeech
from tests.support import ROOT
from wavemill.jobs.cli import app

# What is not run, by its beginning, and why. Their options are checked all the same.
NOT_RUN = {
    "wavemill curate examples/recordings": "minutes of speech; test_truth.py scores examples",
    "wavemill curate recordings/ --out work --profile paper": "needs weights of a hub",
    "wavemill curate recordings/ --out work --profile standard": "needs weights of a hub",
    "wavemill curate chats.jsonl": "minutes, or servers; tests/pipeline/test_conversations.py",
    "wavemill curate examples/chats": "minutes of speech, and the extra speak",
    "wavemill curate s3://": "needs a bucket; test_curate_remote.py has one",
    "wavemill dashboard": "serves until it is stopped",
    "wavemill serve": "serves until it is stopped; tests/serve has servers",
    "wavemill weights fetch": "needs a hub; tests/jobs/test_weights.py has one",
    "wavemill diff work 3 7": "needs seven snapshots",
    "ray job submit": "needs a cluster; test_cluster.py has one",
    "... -- python -m": "needs a cluster",
    "python -m examples.digits.run": "minutes; runs the commands below it",
    "python -m examples.digits.speak": "half an hour; runs the commands below it",
    "python -m examples.sums.": "an hour; runs commands of wavemill",
    "python -m examples.digits_whisper.train": "minutes",
    "python -m examples.evaluation.run": "minutes",
    "python examples/make_examples.py": "needs flite and espeak-ng",
    "python -m wavemill.model.bsrnn.train": "minutes; tests/model/bsrnn/test_train.py",
    "python -m tests.pipeline.test_weights": "writes a table of the page; a test compares it",
    "python -m benchmarks.": "benchmarks take minutes",
    "python constraints/installed_size.py": "counts what is installed; changes nothing",
    "python benchmarks/": "benchmarks take minutes",
}
# Programs of others: these lines and no more.
OTHERS = {
    "sudo apt-get install flite espeak-ng",
    "export HF_TOKEN=...",
    "kubectl apply -f deploy/rayservice.yaml",
    "export WAVEMILL_CHAT_KEY=...",
    "export WAVEMILL_JUDGE_URL=https://api.openai.com/v1",
    "export WAVEMILL_JUDGE_MODEL=gpt-4o-mini",
    "export WAVEMILL_JUDGE_KEY=...",
    "python -m nltk.downloader punkt_tab",
    "python -m pytest tests/model",
    "WAVEMILL_CONFORMANCE=DIR python -m pytest tests/model/evaluate",
}
PLACEHOLDERS = {"NAME": "meld"}
# What keeps a command short, by its beginning: documented options, put behind it.
SHORT = {
    "curate": "--executor inline",
    "refresh": "--executor inline",
    "withdraw": "--yes",
    "gc": "--yes",
    "train pretrain": "--set tokens=200",
    "train sft": "--set tokens=200",
    "train tokenizer": "--set hours=0.0002",
    "train detokenizer --stage flow": "--set flow.hours=0.0002",
    "train detokenizer --stage vocoder": "--set vocoder.hours=0.0002",
    "generate": "--max-new-tokens 4",
    "transcribe": "--max-new-tokens 4",
    "perplexity": "--documents 1",
    "resynthesise": "--limit 1 --sounds 1",
    "evaluate": "--max-new-tokens 2 --limit 1",
    "voices": "--set shortest_s=0.1 --set min_snr_db=0 --set min_dnsmos_overall=1",
}
RATE = 16_000


def speech(start: float, end: float) -> np.ndarray:
    """Return a part of the example recordings, in seconds; float32 at 16 kHz."""
    path = ROOT / "examples" / "recordings" / "clean_dialogue.flac"
    sound, rate = soundfile.read(
        path, int((end - start) * RATE), int(start * RATE), dtype="float32"
    )
    assert rate == RATE
    return np.asarray(sound)


def turns() -> Iterator[dict[str, Any]]:
    lines = (
        (ROOT / "examples" / "truth" / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    )
    yield from next(t["turns"] for t in map(json.loads, lines) if "clean_d" in t["recording"])


def write(path: Path, sound: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = path.suffix[1:].upper() in soundfile.available_formats()
    soundfile.write(path, sound, RATE, format=None if known else "WAV")


def labelled(path: Path) -> None:
    """Write a tar shard of utterances with their transcripts, some to learn, some to test."""
    with tarfile.open(path, "w") as archive:
        for number, turn in enumerate(list(turns())[:8]):
            sound = io.BytesIO()
            soundfile.write(sound, speech(turn["start"], turn["end"]), RATE, format="FLAC")
            about = {"text": turn["text"], "task": "asr", "language": "en",
                     "speaker": turn["speaker"],
                     "split": "test" if number % 4 == 3 else "train"}  # fmt: skip
            members = (("flac", sound.getvalue()), ("json", json.dumps(about).encode()))
            for ending, content in members:
                member = tarfile.TarInfo(f"u{number}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def lay_out(folder: Path) -> None:
    """Put there what the documents take for given: small, and under the names that they use."""
    write(folder / "recordings" / "meeting3.flac", speech(0, 5))
    write(folder / "recordings" / "interviews" / "talk [12].wav", speech(9, 12))
    labelled(folder / "recordings" / "labelled.tar")
    write(folder / "more" / "talk.wav", speech(12, 15))
    write(folder / "question.wav", speech(1.5, 4.5))
    write(folder / "me.wav", speech(5, 9))
    (folder / "books.jsonl").write_text(
        '{"text": "It was the best of times, some say."}\n' * 9, encoding="utf-8"
    )
    librispeech(folder / "home" / "data" / "LibriSpeech" / "..")
    meld = folder / "home" / "data" / "MELD"
    write(meld / "output_repeated_splits_test" / "dia0_utt0.mp4", speech(0, 2))
    names = "Utterance,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime"
    (meld / "test_sent_emo.csv").write_text(
        f'{names}\nHello.,joy,0,0,"0:00:00,0","0:00:02,0"\n', encoding="utf-8"
    )
    names = [f"{d}_{s}_{i}" for d in "01" for s in ("ann", "theo") for i in (0, 5)]
    for number, name in enumerate(names):  # one recording twice would count once
        write(
            folder / "digits" / "digits" / f"{name}.wav", speech(1.8 + number / 4, 2.6 + number / 4)
        )
    write(folder / "question.mp3", speech(2, 4))
    write(folder / "talks" / "talk.wav", speech(5, 7))
    for split, start in (("train", 1.8), ("test", 5.3)):
        write(folder / f"{split}.wav", speech(start, start + 2))
        line = {"audio": f"{split}.wav", "text": "seven", "speaker": "anna", "split": split}
        (folder / f"{split}.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    for name in ("examples", "deploy"):
        (folder / name).symlink_to(ROOT / name)


def before(document: str) -> list[str]:
    """Return commands whose results a document takes for given."""
    corpus = "curate recordings/labelled.tar --out made --executor inline"
    return {
        "docs/benchmarks.md": [
            corpus,
            "model init --preset tiny --out model",
            "benchmark prepare corpus --source made --split test --out my-own-folder",
        ],
        "docs/conversations.md": [corpus.replace("--out made", "--out work")],
        "examples/digits/speech.md": [
            corpus,
            "train sft --corpus made --out runs/seed-0 --set tokens=200",
        ],
    }.get(document, [])


@pytest.fixture
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAVEMILL_AUDIO", str(tmp_path / "digits"))
    monkeypatch.setenv("HEAD", "head")


def wavemill(arguments: list[str], line: object) -> None:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{line}: {result.exception}") from result.exception
    assert result.exit_code == 0, f"{line}\n{result.output}"


def expanded(words: list[str]) -> list[str]:
    """Return words with variables and placeholders in place; `~` is the command's to expand."""
    return [os.path.expandvars(PLACEHOLDERS.get(word, word)) for word in words]


def shortened(arguments: list[str]) -> list[str]:
    told = " ".join(arguments)
    for beginning, options in SHORT.items():
        if told.startswith(beginning):
            return arguments + options.split()
    return arguments


def run_line(line: Line, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Try a line; whether a command of wavemill was run."""
    text = re.split(r"\s+#\s", line.text)[0].replace(".venv/bin/", "")
    text = re.sub(r"\s+", " ", text).strip()
    skipped = any(text.startswith(beginning) for beginning in NOT_RUN)
    arguments = wavemill_words(line)
    words = line.words
    if arguments is not None:
        arguments = expanded(arguments)
        if check_parses(arguments) and not skipped:
            wavemill(shortened(arguments), line)
            return True
    elif text in OTHERS:
        pass
    elif re.fullmatch(r"\w+=\S+", text):
        name, _, value = text.partition("=")
        monkeypatch.setenv(name, value)
    elif words[0] == "make":
        targets = {word for word in words[1:] if "=" not in word}
        assert targets <= make_targets(), line
    elif words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (extras,) = re.findall(r"\[(.*)\]", words[-1])
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), line
    elif words[0] == "python":
        check_module(words)
        if not skipped:
            import_module(words[2]).main(expanded(words[3:]))
    else:
        raise AssertionError(f"{line}: no one has said here how to try it (NOT_RUN, OTHERS)")
    return False


@pytest.mark.usefixtures("_place")
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if lines_of(name)])
def test_the_commands_of_a_document_work_as_written(
    document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for told in before(document):
        wavemill(told.split(), told)
    ran = sum(run_line(line, monkeypatch) for line in lines_of(document))
    assert ran >= {"README.md": 25, "examples/digits/speech.md": 5}.get(document, 0)


def test_all_that_is_listed_here_is_in_a_document() -> None:
    texts = [re.sub(r"\s+", " ", line.text) for name in DOCUMENTS for line in lines_of(name)]
    for beginning in (*NOT_RUN, *OTHERS):
        assert any(text.startswith(beginning) for text in texts), f"{beginning} is in no document"


@pytest.mark.parametrize(
    "told",
    ["curate a --out b --executer ray", "train sft --corpus w --out r --gpus", "transcode a",
     "evaluate m -b x", "gc work --keep none"],
)  # fmt: skip
def test_a_renamed_option_would_be_found(told: str) -> None:
    with pytest.raises(BaseException, match=r"(?i)no such option|no command|missing|valid integer"):
        check_parses(told.split())
