"""How a model is asked: prompts and decoding parameters per task, as YAML."""
