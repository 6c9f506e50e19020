"""The letter of a multiple choice as the published toolkit finds it (its method `vb-mcq`).

A fixed list of phrases is looked for, case folded and anywhere, even inside words ("the correct
answer is dog" is D). Source: mcq/extraction_cases.json.
"""

from __future__ import annotations

from wavemill.model.evaluate.reading.tags import SPEAKERS

LETTERS = "abcd"

PHRASES = (  # the first phrase that occurs wins, and the first letter it occurs with
    *("答案是{}", "答案是 {}", "答案是选项{}", "答案应该是{}", "答案应该是 {}", "答案就是选项{}"),
    *("答案是‘{}", "是{}：", "答案选{}", "{}是正确", "选项{}是最合适的"),
    *("{} is the best answer", "the answer is {}", "the correct answer is {}", "the answer is: {}"),
    *("would select {}", "would choose {}", "would select option {}", "would choose option {}"),
    *("would be {}", "would be option {}", "is {} (", "is '{}'", "as '{}'", "is: \n\n{})"),
    *("is **{}", "option **{}**", "**{})", "**{}.", "**{}:"),
    *(r"is \( \boxed{{{}}}", r"is \( \text{{{}}}", r"is \( \textbf{{{}}}"),
    *("({})", " {}.", " {},", " {}:", " {})", '"{}"'),
)


def published_letter(answer: str) -> str | None:
    """Return "A" to "D", or None where no phrase occurs."""
    answer = answer.lower()
    if answer.startswith(SPEAKERS):
        answer = answer[3:].strip()
    for phrase in PHRASES:
        for letter in LETTERS:
            if phrase.format(letter) in answer:
                return letter.upper()
    if answer[:1] in tuple(LETTERS) and (len(answer) == 1 or answer[1] in ".,:)"):
        return answer[0].upper()
    return "A" if 'would be "a.' in answer else None
