"""An LLM that judges answers, behind any OpenAI-compatible endpoint. Replies are never executed."""
