"""Benchmarks as data: what is asked, where the items come from, and which scores were published."""
