"""Every stored case of asr/: normalisers, tokens, error rates."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("opencc", reason="the extra `evaluate` is not installed")

from tests.model.evaluate.conformance import TABLE, needs_cases, stored
from wavemill.model.evaluate.scorers.asr import AsrScorer
from wavemill.model.evaluate.scoring import Answered
from wavemill.model.evaluate.text.edits import edits
from wavemill.model.evaluate.text.mandarin import normalize_mandarin
from wavemill.model.evaluate.text.packages import normalize_basic, normalize_english
from wavemill.model.evaluate.text.published import clean, normalize, published_tokens, tokens

pytestmark = needs_cases
NORMALIZERS = "asr/normalizer_cases.json"


@pytest.mark.parametrize(
    ("part", "normalizer"),
    [
        ("english", normalize_english),
        ("chinese", normalize_mandarin),
        ("basic", normalize_basic),
    ],
)
def test_normalizers(part: str, normalizer: object) -> None:
    assert callable(normalizer)
    for case in stored(NORMALIZERS)[part]:
        TABLE.case(
            f"{NORMALIZERS} {part}", normalizer(case["input"]), case["output"], case["input"]
        )
    TABLE.passes(f"{NORMALIZERS} {part}")


def test_first_clean_up() -> None:
    for case in stored(NORMALIZERS)["remove_sp"]:
        found = clean(case["input"], case["language"])
        TABLE.case(f"{NORMALIZERS} remove_sp", found, case["output"], case)
    TABLE.passes(f"{NORMALIZERS} remove_sp")


def test_tokens() -> None:
    for case in stored(NORMALIZERS)["tokenizer"]:
        found = published_tokens(case["input"])
        TABLE.case(f"{NORMALIZERS} tokenizer", found, case["tokens"], case["input"])
    TABLE.passes(f"{NORMALIZERS} tokenizer")


def test_utterances() -> None:
    part = "asr/wer_cases.json"
    keys = ("ref_clean", "hyp_clean", "ref_norm", "hyp_norm", "ref_tokens", "hyp_tokens")
    for case in stored(part)["cases"]:
        language = case["language"]
        cleaned = [clean(case[side], language) for side in ("ref", "hyp")]
        normal = [normalize(text, language) for text in cleaned]
        ref, hyp = (tokens(case[side], language) for side in ("ref", "hyp"))
        found = edits(ref, hyp)
        wer = found.errors / found.length if found.length else None
        TABLE.case(
            part,
            [*cleaned, *normal, ref, hyp, found.errors, found.length, wer],
            [case[key] for key in (*keys, "errors", "ref_length", "wer")],
            case["id"],
        )
    TABLE.passes(part)


def test_one_utterance_as_a_corpus() -> None:
    part = "asr/wer_cases.json single_call"
    scorer = AsrScorer("compat", whole_files=False)
    for case in stored("asr/wer_cases.json")["cases"]:
        answered = Answered(case["id"], case["hyp"], (case["ref"],), language=case["language"])
        wer = scorer.score([answered]).metrics[0].value / 100
        if case["single_call"]["ok"]:
            TABLE.case(part, round(wer, 12), round(case["single_call"]["wer"], 12), case["id"])
        else:  # the toolkit stops; there are no reference words, so there is no rate
            TABLE.case(part, math.isnan(wer), True, case["id"])
    TABLE.note(part, "where the toolkit stops, there is no rate")
    TABLE.passes(part)


def test_corpora() -> None:
    part = "asr/corpus_wer.json"
    cases = {case["id"]: case for case in stored("asr/wer_cases.json")["cases"]}
    scorer = AsrScorer("compat", whole_files=False)
    for group in stored(part)["groups"]:
        answered = [
            Answered(i, cases[i]["hyp"], (cases[i]["ref"],), language=group["language"])
            for i in group["case_ids"]
        ]
        rate = scorer.score(answered).metrics[0].value
        if group["ok"]:
            TABLE.case(part, round(rate, 2), group["wer_percent_2dp"], group["name"])
        else:  # an empty reference among the first five; ours counts insertions
            words = sum(cases[i]["ref_length"] for i in group["case_ids"])
            errors = sum(cases[i]["errors"] for i in group["case_ids"])
            wanted = round(100 * errors / words, 2) if words else None
            TABLE.case(part, round(rate, 2) if words else None, wanted, group["name"])
    TABLE.note(part, "2 where the toolkit stops: ours from the stored errors")
    TABLE.passes(part)
