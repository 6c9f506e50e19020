"""Replies of the audio LLM: text and audio tokens, as they come or all at once."""
