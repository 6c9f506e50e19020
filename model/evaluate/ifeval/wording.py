"""Instructions on words: keywords, case, language, quotation, punctuation."""

from __future__ import annotations

import re
from collections import Counter

from wavemill.model.evaluate.ifeval.instruction import Arguments, Instruction, Unscored
from wavemill.model.evaluate.ifeval.text_analysis import capital_words, is_language

CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _pattern(keyword: str, arguments: Arguments, whole: bool = False) -> re.Pattern[str]:
    """Return what finds a keyword; `compat` reads it as a regular expression, as published."""
    text = keyword.strip() if arguments.mode == "compat" else re.escape(keyword.strip())
    try:
        return re.compile(rf"\b{text}\b" if whole else text, re.IGNORECASE)
    except re.error as error:
        raise Unscored(f"keyword {keyword!r} is not a regular expression: {error}") from None


def existence(response: str, arguments: Arguments) -> bool:
    return all(_pattern(word, arguments).search(response) for word in arguments.texts("keywords"))


def frequency(response: str, arguments: Arguments) -> bool:
    found = len(_pattern(arguments.text("keyword"), arguments).findall(response))
    return arguments.holds(found, "frequency")


def forbidden_words(response: str, arguments: Arguments) -> bool:
    words = arguments.texts("forbidden_words")
    return not any(_pattern(word, arguments, whole=True).search(response) for word in words)


def letter_frequency(response: str, arguments: Arguments) -> bool:
    letter = arguments.text("letter").strip().lower()
    if len(letter) != 1 or not "a" <= letter <= "z":
        raise Unscored(f"argument letter is not a single letter: {letter!r}")
    return arguments.holds(Counter(response.lower())[letter], "let_frequency", "let_relation")


def response_language(response: str, arguments: Arguments) -> bool:
    return is_language(response, arguments.text("language"), arguments.mode)


def capital_word_frequency(response: str, arguments: Arguments) -> bool:
    return arguments.holds(capital_words(response), "capital_frequency", "capital_relation")


def english_capital(response: str, arguments: Arguments) -> bool:
    return response.isupper() and is_language(response, "en", arguments.mode)


def english_lowercase(response: str, arguments: Arguments) -> bool:
    return response.islower() and is_language(response, "en", arguments.mode)


def no_comma(response: str, _: Arguments) -> bool:
    return "," not in response


def quotation(response: str, _: Arguments) -> bool:
    response = response.strip()
    return len(response) > 1 and response[0] == response[-1] == '"'


def end_checker(response: str, arguments: Arguments) -> bool:
    end = arguments.text("end_phrase").strip().lower()
    return response.strip().strip('"').lower().endswith(end)


def repeat_prompt(response: str, arguments: Arguments) -> bool:
    prompt = arguments.text("prompt_to_repeat").strip().lower()
    return response.strip().lower().startswith(prompt)


def constrained_response(response: str, _: Arguments) -> bool:
    return any(answer in response for answer in CONSTRAINED)


WORDING = {
    "keywords:existence": Instruction(existence, ("keywords",)),
    "keywords:frequency": Instruction(frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": Instruction(forbidden_words, ("forbidden_words",)),
    "keywords:letter_frequency": Instruction(
        letter_frequency, ("letter", "let_frequency", "let_relation")
    ),
    "language:response_language": Instruction(response_language, ("language",)),
    "change_case:capital_word_frequency": Instruction(
        capital_word_frequency, ("capital_frequency", "capital_relation")
    ),
    "change_case:english_capital": Instruction(english_capital),
    "change_case:english_lowercase": Instruction(english_lowercase),
    "punctuation:no_comma": Instruction(no_comma),
    "startend:quotation": Instruction(quotation),
    "startend:end_checker": Instruction(end_checker, ("end_phrase",)),
    "combination:repeat_prompt": Instruction(repeat_prompt, ("prompt_to_repeat",)),
    "detectable_format:constrained_response": Instruction(constrained_response),
}
