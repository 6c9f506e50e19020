"""Learners of what turns speech into tokens and tokens into speech: tokenizer, flow, vocoder."""
