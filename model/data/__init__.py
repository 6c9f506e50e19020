"""From the corpora to training batches: streaming, in a seeded order, resumable.

`corpus` reads files, `source` is what every training takes its batches from.
"""
