"""Replies of the audio LLM: text and audio tokens, step by step or as a whole."""
