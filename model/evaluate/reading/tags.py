"""What one published model writes around its answers."""

from __future__ import annotations

SPEAKERS = ("<1>", "<2>", "<3>")
TURN = "<|user|>"


def without_tags(answer: str) -> str:
    """Return an answer without the number of its speaker and the mark of the next turn.

    Source: `response_cleanup_helper_cases` of ifeval/aggregate_scores.json.
    """
    if answer.startswith(SPEAKERS):
        answer = answer[len(SPEAKERS[0]) :].lstrip()
    return answer.removesuffix(TURN).rstrip() if answer.endswith(TURN) else answer
