"""Conversations as the two token streams that the audio LLM reads, and back.

Report section 2.3 and 4.1; `docs/published-format.md`. Pure Python: ids in, ids out.
"""
