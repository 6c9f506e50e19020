"""Models behind one interface: prompts with audio in, answers out."""
