"""From what was said and what was written to tokens that can be compared, per language."""
