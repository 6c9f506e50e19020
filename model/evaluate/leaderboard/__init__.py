"""All runs of a folder beside the published scores, in one table."""
