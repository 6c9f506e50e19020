"""Sources: what recordings there are, what is known about them, and what changed."""
