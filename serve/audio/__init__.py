"""Sound as clients send it and take it."""
