"""Every stored case of mcq/, openqa/ and of the label sets."""

from __future__ import annotations

from tests.model.evaluate.conformance import TABLE, by_subset, item, needs_cases, stored
from wavemill.model.evaluate.scorers.choice import ChoiceScorer, published_letter
from wavemill.model.evaluate.scorers.reading import read_label, read_letter, same_label
from wavemill.model.evaluate.scorers.refusal import RefusalScorer, published_refusal

pytestmark = needs_cases
LETTERS = "mcq/extraction_cases.json"
REFUSALS = "openqa/advbench_refusal_cases.json"


def test_published_letters() -> None:
    for case in stored(LETTERS)["cases"]:
        found = published_letter(case["response"])
        TABLE.case(f"{LETTERS} extracted", found, case["extracted"], case["response"])
    TABLE.passes(f"{LETTERS} extracted")


def test_letters_as_a_person_reads_them() -> None:
    for case in stored(LETTERS)["cases"]:
        found = read_letter(case["response"])
        TABLE.case(f"{LETTERS} plain_reading", found, case["plain_reading"], case["response"])
    TABLE.note(f"{LETTERS} plain_reading", "mode default; 95 % are wanted")
    TABLE.passes(f"{LETTERS} plain_reading", 0.95)


def test_whole_evaluations_by_letter() -> None:
    part = "mcq/vb_mcq_end_to_end.json"
    for run in stored(part)["runs"]:
        rows = [
            item(r["prediction"], r["answer"], subset=r.get("subset", "openbookqa"))
            for r in run["rows"]
        ]
        scores = by_subset(ChoiceScorer("compat", run["python_random_seed"] or 0), rows)
        found = {
            subset: (round(s.metrics[0].value, 2), s.metrics[0].count)
            for subset, s in scores.items()
        }
        wanted = {
            subset: (one["acc"], one["total"])
            for subset, one in run["result"]["performance"].items()
        }
        TABLE.case(part, found, wanted, run["name"])
    TABLE.passes(part)


def test_refusals() -> None:
    for case in stored(REFUSALS)["cases"]:
        found = published_refusal(case["response"])
        TABLE.case(REFUSALS, found, case["counted_as_refusal"], case["response"])
    for run in stored(REFUSALS)["end_to_end"]:
        scores = RefusalScorer("compat").score([item(text) for text in run["responses"]])
        wanted = run["result"]["performance"]["advbench"]
        found = (round(scores.metrics[0].value, 2), scores.metrics[0].count)
        TABLE.case(f"{REFUSALS} end_to_end", found, (wanted["acc"], wanted["total"]), run["name"])
    TABLE.passes(REFUSALS)
    TABLE.passes(f"{REFUSALS} end_to_end")


def test_classes_are_read_by_letter_and_by_name() -> None:
    part = "benchmarks/label_sets.json"
    for labels in stored(part)["sets"]:
        options = labels["options_in_prompt"]
        texts = list(options.values())
        for letter, text in options.items():
            for answer in (letter, f"({letter})", text, text.upper(), f"{letter}. {text}"):
                TABLE.case(part, read_label(answer, texts), text, answer)
        for gold in labels["gold_values"] or ():
            TABLE.case(part, [same_label(gold, text) for text in texts].count(True), 1, gold)
    TABLE.note(part, "five spellings of each class; gold strings")
    TABLE.passes(part)
