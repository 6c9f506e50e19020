"""One module per task: answered items in, item scores and metrics out."""
