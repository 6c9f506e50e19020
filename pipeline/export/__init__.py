"""Corpora in the formats of others: one file per format; `run.py` writes them part by part."""
