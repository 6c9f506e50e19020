"""An LLM that judges answers: any OpenAI-compatible endpoint. What it says is read, never run."""
