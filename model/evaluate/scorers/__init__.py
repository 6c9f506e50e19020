"""One module per task: answered items in, verdicts and metrics out."""
