"""Benchmarks: items with a model's answers in, scores with confidence intervals out."""
