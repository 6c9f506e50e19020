"""A name means the recording that has it; only `*` and `?` are patterns, and those are vague."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.withdrawal import add_tombstones, matching

NAMES = [
    *("talk [12].wav", "talk 1.wav", "talk 2.wav", "what?.wav", "whats.wav", "a*b.wav", "axb.wav"),
    *(
        "100%.wav",
        "100x.wav",
        "a_b.wav",
        "back\\slash.wav",
        "line\nbreak.wav",
        "[a-z].wav",
        "q.wav",
    ),
    *("abcd", "{a,b}.wav", "émile.wav", "~home.wav", "$(x).wav", "it's.wav", 'say "x".wav'),
]


def catalogue_of(folder: Path, uris: list[str]) -> Store:
    store = Store.open(folder)
    recordings = [Recording(f"{i:032x}", uri, 1000) for i, uri in enumerate(uris)]
    Catalogue(store, recordings_table(recordings), 60).save()
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("names")
    return catalogue_of(folder, [f"/data/{name}" for name in NAMES])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_the_one_that_has_it(store: Store, name: str) -> None:
    for form in (name, f"/data/{name}", f"data/{name}", f"file:///data/{quote(name)}"):
        found = matching(store, [form])
        assert [match.source for match in found.recordings] == [f"/data/{name}"]
        assert found.vague == ()


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("talk ?.wav", ["talk 1.wav", "talk 2.wav"]),
        ("talk [*.wav", ["talk [12].wav"]),
        ("*%.wav", ["100%.wav"]),
        ("a_*.wav", ["a_b.wav"]),
        ("*\\*", ["back\\slash.wav"]),
        ("line*break.wav", ["line\nbreak.wav"]),
        ("?mile.wav", ["émile.wav"]),
    ],
)
def test_only_star_and_question_mark_are_special(
    store: Store, pattern: str, meant: list[str]
) -> None:
    found = matching(store, [pattern])
    assert [match.source for match in found.recordings] == [f"/data/{name}" for name in meant]
    assert found.vague == (pattern,)


@pytest.mark.parametrize("name", ["[q].wav", "talk [1-2].wav", "Q.WAV", "talk 1.wa", "%", "", "/"])
def test_what_is_no_name_means_nothing(store: Store, name: str) -> None:
    with pytest.raises(LookupError, match="not the id or source of a recording"):
        matching(store, [name])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text("a[]*?%_\\.", min_size=1, max_size=5), min_size=1, max_size=6, unique=True))
def test_whatever_the_names_each_means_itself(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    store = catalogue_of(tmp_path_factory.mktemp("any"), [f"s3://bucket/{n}" for n in names])
    for name in names:
        (match,) = matching(store, [name]).recordings
        assert match.source == f"s3://bucket/{name}"


def test_one_file_name_in_two_folders_is_vague(tmp_path: Path) -> None:
    store = catalogue_of(tmp_path, ["/data/x/one.wav", "/data/y/one.wav", "/data/a.tar#one.flac"])
    found = matching(store, ["one.wav"])
    assert len(found.recordings) == 2
    assert found.vague == ("one.wav",)
    assert matching(store, ["x/one.wav"]).vague == ()
    assert matching(store, ["one.flac"]).vague == ()


def test_a_path_from_the_current_folder_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = catalogue_of(tmp_path / "work", [f"{tmp_path}/in/a.wav", "/other/in/a.wav"])
    monkeypatch.chdir(tmp_path / "work")
    (match,) = matching(store, ["../in/a.wav"]).recordings
    assert match.source == f"{tmp_path}/in/a.wav"


def test_a_file_name_goes_before_the_beginning_of_an_id(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    recordings = [Recording("abcd" * 8, "/data/x.wav", 1), Recording("0" * 32, "/data/abcd", 1)]
    Catalogue(store, recordings_table(recordings), 60).save()
    assert [match.source for match in matching(store, ["abcd"]).recordings] == ["/data/abcd"]
    assert [match.source for match in matching(store, ["abcdab"]).recordings] == ["/data/x.wav"]


def test_the_same_command_finds_it_again_when_its_name_is_gone(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    add_tombstones(store, {"a" * 32: ["talk *.wav"]}, "consent", 1)
    (match,) = matching(store, ["talk *.wav"]).recordings
    assert (match.recording_id, match.source) == ("a" * 32, "")
    with pytest.raises(LookupError):
        matching(store, ["talk 1.wav"])
    assert b"talk" not in store.path("manifest/withdrawn.parquet").read_bytes()
