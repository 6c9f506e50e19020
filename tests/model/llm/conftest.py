import model.blocks  # noqa: F401  # before any test imports transformers by itself
