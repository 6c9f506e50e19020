"""Sources: which recordings there are, their labels, and what has changed."""
