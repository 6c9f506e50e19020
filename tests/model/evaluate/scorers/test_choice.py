"""Letters and classes read from answers."""

from __future__ import annotations

import pytest

from wavemill.model.evaluate.scorers.choice import ChoiceScorer, LabelScorer, published_letter
from wavemill.model.evaluate.scorers.reading import read_label, read_letter
from wavemill.model.evaluate.scoring import Answered

ANSWERS = [  # answer, as a person reads it, as published
    ("C", "C", "C"),
    ("c)", "C", "C"),
    ("  d. ", "D", "D"),
    ("Answer - B", "B", None),
    ("It must be (C), I think.", "C", "C"),
    ("I'm going with D.", "D", "D"),
    ("My choice is option A", "A", None),
    ("B is definitely not it; the answer is C", "C", "C"),
    ("Not B but D.", "D", "D"),
    ("The right option: **B**", "B", None),
    ("我觉得应该选D", "D", None),
    ("正确选项是C。", "C", None),
    ("A and D", None, None),
    ("The answer is certainly a whale", None, "C"),
    ("Hepatitis b, of course", None, "B"),
    ("I have no idea.", None, None),
    ("the answer is a dog", None, "A"),
    ("", None, None),
]


@pytest.mark.parametrize(("answer", "person", "published"), ANSWERS)
def test_letters(answer: str, person: str | None, published: str | None) -> None:
    assert (read_letter(answer), published_letter(answer)) == (person, published)


READ = [  # more answers, as a person reads them
    ("The correct option is B) sodium.", "B"),
    ("I believe the answer should be D", "D"),
    ("Correct answer: A) heat", "A"),
    ("**Answer:** C", "C"),
    ("So I'd say it's B.", "B"),
    ("The speaker describes evaporation, which corresponds to choice (C).", "C"),
    ("Out of these, D makes the most sense.", "D"),
    ("I'd choose A because plants need light", "A"),
    ("B: because of gravity", "B"),
    ("Definitely C!", "C"),
    ("None of the options are correct.", None),
    ("I could not hear the options.", None),
    ("A, since it melts", "A"),
    ("The answer would be letter D", "D"),
    ("Option B is correct", "B"),
    ("It's option A: photosynthesis", "A"),
    ("Neither A nor B, so C", "C"),
    ("C. \n\nExplanation: Option A is wrong because...", "C"),
    ("Among A, B, C and D, the best is D", "D"),
    ("答案选择C", "C"),
    ("应该是B", "B"),
    ("我认为正确的是A", "A"),
    ("选择题的答案：D", "D"),
    ("The answer is\n\nA", "A"),
    ("a dog is the answer", None),
    ("Vitamin D is important.", None),
    ("I think a", None),
    ("My final answer is option (b).", "B"),
    ("A is the correct choice", "A"),
    ("Let's go with D: the sun", "D"),
    ("Answer (C)", "C"),
    ("It could be A, but it's more likely B.", "B"),
    ("The answer: 'C. Oxygen'", "C"),
    ("D", "D"),
    ("We should pick C here", "C"),
    ("Plan B is a backup", None),
    ("I would rule out A, B and C, which leaves D", "D"),
    ("The most appropriate answer is A.", "A"),
    ("B) Because of friction, not C", "B"),
    ("The sound is a trumpet, so (B).", "B"),
    ("Based on the clip: A.", "A"),
    ("answer: c", "C"),
    ("Choice A is the one.", "A"),
    ("Both B and D seem plausible.", None),
    ("There is no correct answer.", None),
    ("C - The mitochondria", "C"),
    ("The answer is option D, the moon.", "D"),
    ("D, obviously.", "D"),
    ("My pick: B", "B"),
    ("Considering everything, the right choice would be A.", "A"),
    ("It isn't A; it's D.", "D"),
    ("Could be A or C.", None),
    ("The emotion is joy (B)", "B"),
    ("A. Because B and C are both metals.", "A"),
    ("I'm afraid I cannot answer.", None),
    ("I'd pick option C.", "C"),
    ("The answer? D.", "D"),
    ("[D] Gravity", "D"),
    ("答案是：B", "B"),
    ("选择C，因为……", "C"),
    ("我选择的答案是A。", "A"),
    ("不是A，是B", "B"),
    ("B项正确", "B"),
    ("A bear", "A"),
    ("The speaker got a B in math.", None),
    ("i think the answer is b", "B"),
    ("Final Answer: The final answer is C", "C"),
    ("Letter D - tundra", "D"),
]


@pytest.mark.parametrize(("answer", "person"), READ)
def test_letters_as_a_person_reads_them(answer: str, person: str | None) -> None:
    assert read_letter(answer) == person


def test_letters_of_long_answers_take_no_time() -> None:
    for part in ("A", "A ", "answer is ", "(A", "option A, ", "答案是", "not A, B and "):
        read_letter(part * 20_000)


def test_number_of_options_bounds_the_letters() -> None:
    assert read_letter("E") is None
    assert read_letter("E", 6) == "E"
    assert read_letter("C", 2) is None
    assert read_letter("A", 0) is None
    assert read_label("A", ()) is None


def test_unread_answers_are_wrong_and_counted_and_never_drawn() -> None:
    items = [Answered(str(i), "no idea", ("A",)) for i in range(40)]
    items.append(Answered("x", "A", ("a",)))
    scores = ChoiceScorer().score(items)
    accuracy, unread = scores.metrics
    assert accuracy.value == pytest.approx(100 / 41)
    assert unread.value == pytest.approx(4000 / 41)
    assert (scores.item_scores[0].note, scores.item_scores[0].details) == ("unread", {"read": None})
    drawn = [ChoiceScorer("compat", seed).score(items).metrics[0].value for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert drawn[0] > accuracy.value


def test_options_can_be_named_by_their_text() -> None:
    options = ("a red fox", "an owl", "two owls", "none of them")
    for gold in ("B", "an owl", "An Owl."):
        items = [
            Answered("1", "It is an owl.", (gold,), options=options),
            Answered("2", "B", (gold,), options=options),
            Answered("3", "A red fox", (gold,), options=options),
        ]
        assert [v.value for v in ChoiceScorer().score(items).item_scores] == [1, 1, 0]


OPTIONS = ("street", "subway", "subwaystation", "kitchen", "crowdedindoor")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("kitchen", "kitchen"),
        ("(D)", "kitchen"),
        ("SubwayStation", "subwaystation"),
        ("I think this is a subway station.", "subwaystation"),
        ("On a subway", "subway"),
        ("crowded_indoor", "crowdedindoor"),
        ("A kitchen", "kitchen"),
        ("I think it is B.", "subway"),
        ("streets", "street"),
        ("a kitchen or a street", None),
        ("a forest", None),
        ("", None),
    ],
)
def test_classes(answer: str, label: str | None) -> None:
    assert read_label(answer, OPTIONS) == label


def test_classes_are_scored_whatever_the_spelling_of_gold() -> None:
    answers = ["E", "Crowded indoor", "a kitchen", "??"]
    items = [Answered(a, a, ("CrowdedIndoor",), options=OPTIONS) for a in answers]
    scores = LabelScorer().score(items)
    assert [v.value for v in scores.item_scores] == [1, 1, 0, 0]
    assert [v.note for v in scores.item_scores] == ["", "", "", "unread"]
    assert [m.value for m in scores.metrics] == [50, 25]
