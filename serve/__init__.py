"""Spoken conversation with a model on Ray Serve, in the protocols that clients already speak."""
