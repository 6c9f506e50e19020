"""Models behind one interface: prompts with sound in, answers out."""
