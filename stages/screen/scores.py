"""What is known of a written conversation, and by which rules it is not spoken."""

from __future__ import annotations

from wavemill.stages.score import COUNT, TEXT, Aspect, AtLeast, AtMost, OneOf, Score


def _count(column: str, title: str, description: str, rule: str, most: float) -> Score:
    return Score(
        column=column,
        title=title,
        description=description,
        aspect=Aspect.WORDING,
        kind=COUNT,
        nullable=False,
        digits=0,
        rules=(AtMost(rule, asr=most),),
    )


def _share(
    column: str, title: str, description: str, rule: str, most: float, aspect: Aspect
) -> Score:
    return Score(
        column=column,
        title=title,
        description=description,
        aspect=aspect,
        scale="share",
        better="lower",
        nullable=False,
        rules=(AtMost(rule, asr=most),),
    )


SCORES = (
    _count("messages", "Messages", "Of user and assistant", "too_many_messages", 20),
    _count(
        "longest_message",
        "Longest message",
        "Characters of the longest message",
        "message_too_long",
        1500,
    ),
    _count("code", "Code", "Blocks and lines of code", "contains_code", 0),
    _count("table_rows", "Rows of tables", "Lines with cells", "contains_table", 0),
    _count("formulas", "Formulas", "LaTeX and long formulas", "contains_formula", 0),
    _count("urls", "Addresses", "Of the web and of mail", "contains_url", 0),
    _count("longest_list", "Longest list", "Items of the longest list", "list_too_long", 8),
    _share(
        "foreign_letters",
        "Letters of other scripts",
        "Share of letters that are not Latin",
        "mixed_scripts",
        0.02,
        Aspect.LANGUAGE,
    ),
    _share(
        "symbols",
        "Symbols",
        "Share of characters that are no letters, digits, punctuation or spaces",
        "too_many_symbols",
        0.05,
        Aspect.WORDING,
    ),
    Score(
        column="language",
        title="Language",
        description="As the source states it; null: not stated",
        aspect=Aspect.LANGUAGE,
        kind=TEXT,
        # The bundled voices speak English only.
        rules=(OneOf("language_not_supported", asr=("en",), setting="supported_languages"),),
    ),
    Score(
        column="english_words",
        title="Common English words",
        description="Share of words that are among the commonest of English; "
        "null: a language is stated, or there are fewer than 12 words",
        aspect=Aspect.LANGUAGE,
        scale="share",
        better="higher",
        # English prose has 0.4 and more; German, French and Spanish less than 0.1.
        rules=(AtLeast("not_english", asr=0.15),),
    ),
    Score(
        column="earlier_copies",
        title="Earlier copies",
        description="Conversations before this one whose users say the same words",
        aspect=Aspect.WORDING,
        kind=COUNT,
        nullable=False,
        digits=0,
        rules=(AtMost("repeated_prompt", asr=0),),
    ),
    _share(
        "nearest_earlier",
        "Nearest earlier",
        "Share of three words in a row that the users of an earlier conversation say, "
        "too, of all that either says; 0: less than a half",
        "nearly_repeated_prompt",
        0.8,
        Aspect.WORDING,
    ),
    _count(
        "benchmark_runs",
        "In a benchmark",
        "Runs of words that also stand in the benchmarks that are named",
        "in_benchmark",
        0,
    ),
)
