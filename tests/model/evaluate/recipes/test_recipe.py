"""Which prompt goes to which model for which item."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.schema import benchmark_named, published_benchmarks
from wavemill.model.evaluate.recipes.recipe import (
    Recipe,
    RecipeError,
    load_recipe,
    prompt_for,
    recipe_names,
)

CHOICE = BenchmarkItem("a", question="Which?", options=("dog", "cat"))


def prompt_of(recipe: str, benchmark: str, item: BenchmarkItem) -> tuple[str, str | None]:
    prompt = prompt_for(load_recipe(recipe), benchmark_named(benchmark), item)
    return prompt.text, prompt.system


def test_every_recipe_has_a_prompt_for_every_benchmark() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        for benchmark in published_benchmarks().values():
            text = prompt_for(recipe, benchmark, CHOICE).text
            assert "{prompt}" not in text
            assert "{question}" not in text


@pytest.mark.parametrize(
    ("recipe", "benchmark", "expected"),
    [
        ("plain", "mmau-sound", ("Which?\n(A) dog (B) cat", None)),
        ("kimi-audio", "fleurs-en", ("Please transcribe this audio.", None)),
        ("kimi-audio", "voicebench-mmsu", ("", None)),
        (
            "qwen2-audio",
            "librispeech-test-clean",
            (
                "<|audio_bos|><|AUDIO|><|audio_eos|>Detect the language and recognize the speech: "
                "<|en|>",
                None,
            ),
        ),
        (
            "qwen2-audio-instruct",
            "clothoaqa-dev",
            (
                "Listen to the given audio carefully and answer this question: Which?.",
                "You are a helpful assistant.",
            ),
        ),
        ("qwen2.5-omni", "voicebench-ifeval", ("", "You are a helpful assistant.")),
    ],
)
def test_prompts_are_the_published_ones(
    recipe: str, benchmark: str, expected: tuple[str, str | None]
) -> None:
    assert prompt_of(recipe, benchmark, CHOICE) == expected


def test_the_language_of_the_item_decides() -> None:
    item = BenchmarkItem("a", language="zh")
    assert prompt_of("qwen2-audio", "aishell-1", item)[0].endswith("<|zh|>")


def test_labels_of_the_benchmark_stand_in_for_an_item_without_options() -> None:
    assert "dog, rooster, pig" in prompt_of("plain", "esc-50", BenchmarkItem("a"))[0]


@given(question=st.text(max_size=30))
def test_what_an_item_says_is_never_a_template(question: str) -> None:
    hostile = f"{{options}}{question}{{prompt}}"
    recipe = Recipe(name="x", prompts={"text": "<{prompt}>"})
    text = prompt_for(
        recipe, benchmark_named("clothoaqa-test"), BenchmarkItem("a", question=hostile)
    ).text
    assert text == f"<{hostile}>"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("decoding: {temprature: 1}", "decoding.temprature"),
        ("- 1", "the file"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_recipe_names_its_field(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content if content[0] in "-a" else f"name: own\n{content}", encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_recipe(path)


def test_an_unknown_recipe_is_answered_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match="kimi-audio, plain"):
        load_recipe("whisper")
