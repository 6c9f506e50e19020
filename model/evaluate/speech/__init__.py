"""How good made speech is: against the recording it was made after, and for a listener."""
