"""Instructions on form: length, paragraphs, lists, sections, markers."""

from __future__ import annotations

import json
import re

from wavemill.model.evaluate.ifeval.instruction import Arguments, Instruction
from wavemill.model.evaluate.ifeval.text_analysis import count_sentences

STOPS_A_WORD = ".,?!'\""
POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
FENCE = re.compile(r"^```(?:json|Json|JSON)?|```$")


def number_sentences(response: str, arguments: Arguments) -> bool:
    return arguments.holds(count_sentences(response), "num_sentences")


def number_words(response: str, arguments: Arguments) -> bool:
    return arguments.holds(len(re.findall(r"\w+", response)), "num_words")


def number_paragraphs(response: str, arguments: Arguments) -> bool:
    """Paragraphs are divided by `***`; an empty one is allowed only at either end."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", response)]
    if not all(parts[1:-1]):
        return False
    return sum(map(bool, parts)) == arguments.count("num_paragraphs")


def nth_paragraph_first_word(response: str, arguments: Arguments) -> bool:
    """Paragraphs are divided by blank lines; empty ones take a place but are not counted."""
    parts = [part.strip() for part in response.split("\n\n")]
    count, nth = sum(map(bool, parts)), arguments.count("nth_paragraph")
    if nth > count or not parts[nth - 1]:
        return False
    word = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    ends = min((word.index(c) for c in STOPS_A_WORD if c in word), default=len(word))
    first = arguments.text("first_word").lower()
    return count == arguments.count("num_paragraphs") and word[:ends].lower() == first


def number_placeholders(response: str, arguments: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", response)) >= arguments.count("num_placeholders")


def postscript(response: str, arguments: Arguments) -> bool:
    marker = arguments.text("postscript_marker")
    pattern = POSTSCRIPTS.get(marker.strip())
    if pattern is None:
        marker = marker.strip().lower()
        pattern = marker if arguments.mode == "compat" else re.escape(marker)
    return bool(re.search(pattern, response.lower()))


def number_bullet_lists(response: str, arguments: Arguments) -> bool:
    bullets = re.findall(r"^\s*(?:\*[^*].*|-.*)$", response, re.MULTILINE)
    return len(bullets) == arguments.count("num_bullets")


def number_highlighted_sections(response: str, arguments: Arguments) -> bool:
    marked = re.findall(r"\*[^\n*]*\*", response) + re.findall(r"\*\*[^\n*]*\*\*", response)
    return sum(bool(part.strip("*").strip()) for part in marked) >= arguments.count(
        "num_highlights"
    )


def multiple_sections(response: str, arguments: Arguments) -> bool:
    marker = arguments.text("section_spliter").strip()
    marker = marker if arguments.mode == "compat" else re.escape(marker)
    sections = len(re.findall(rf"\s?{marker}\s?\d+\s?", response))
    return sections >= arguments.count("num_sections")


def json_format(response: str, _: Arguments) -> bool:
    try:
        json.loads(FENCE.sub("", response.strip()).strip())
    except ValueError:
        return False
    return True


def title(response: str, _: Arguments) -> bool:
    titles = re.findall(r"<<[^\n]+>>", response)
    return any(found.lstrip("<").rstrip(">").strip() for found in titles)


def two_responses(response: str, _: Arguments) -> bool:
    """Two different texts divided by `******`; an empty one is allowed only at either end."""
    parts = [part.strip() for part in response.split("******")]
    if not all(parts[1:-1]):
        return False
    texts = [part for part in parts if part]
    return len(texts) == 2 and texts[0] != texts[1]


SHAPE = {
    "length_constraints:number_sentences": Instruction(
        number_sentences, ("num_sentences", "relation")
    ),
    "length_constraints:number_words": Instruction(number_words, ("num_words", "relation")),
    "length_constraints:number_paragraphs": Instruction(number_paragraphs, ("num_paragraphs",)),
    "length_constraints:nth_paragraph_first_word": Instruction(
        nth_paragraph_first_word, ("num_paragraphs", "nth_paragraph", "first_word")
    ),
    "detectable_content:number_placeholders": Instruction(
        number_placeholders, ("num_placeholders",)
    ),
    "detectable_content:postscript": Instruction(postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": Instruction(number_bullet_lists, ("num_bullets",)),
    "detectable_format:number_highlighted_sections": Instruction(
        number_highlighted_sections, ("num_highlights",)
    ),
    "detectable_format:multiple_sections": Instruction(
        multiple_sections, ("section_spliter", "num_sections")
    ),
    "detectable_format:json_format": Instruction(json_format),
    "detectable_format:title": Instruction(title),
    "combination:two_responses": Instruction(two_responses),
}
