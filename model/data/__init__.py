"""From the corpora to training batches: streaming, in a seeded order, resumable.

`files` and `corpus` read Parquet, `source` says what every training takes its batches from, and
`llm` and `clip_batches` make them. `wavemill.model.train.batches` gives them to a loop of your own.
"""
