"""Benchmarks: from the items and a model's answers to scores with confidence intervals.

What stands where:

    benchmarks/   what a benchmark is (schema), its items, one reader per downloadable data set
    recipes/      how a model is asked: prompts and decoding, one YAML file per model
    models/       the models that can be asked: this project's, transformers', an endpoint
    runs/         one model on one benchmark: ask (execute, answers), record, score, rate speech
    scoring.py    what scorers take and return; metrics.py: means, rates and their intervals
    scorers/      one file per kind of task; registry.py has their names
      text/       transcripts as tokens, and their edits (for asr.py)
      ifeval/     checkable instructions (for ifeval.py)
      judge/      an LLM that judges (for judged.py): rubrics, questions, replies
    leaderboard/  all runs of a folder in one table, as a page and as Markdown
    speech.py     made speech against recordings; perplexity.py: held-out tokens

A new scorer is one file in scorers/ and one entry in registry.py; a new benchmark is one YAML file
in benchmarks/published/, and where its items come from a new download, one file in readers/.
"""
