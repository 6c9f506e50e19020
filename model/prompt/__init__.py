"""Text tokenizers, and conversations as the two token streams that the audio LLM reads."""
