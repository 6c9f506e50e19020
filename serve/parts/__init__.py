"""The three services behind the gateway: tokenizer, LLM, detokenizer."""
