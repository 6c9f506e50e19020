"""Keeping a WORKDIR for years: what changed, what may go, what is damaged, what is withdrawn."""
