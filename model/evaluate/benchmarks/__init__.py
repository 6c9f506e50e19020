"""Benchmarks as data: prompts, sources of the items, published scores. published/ has the YAML."""
