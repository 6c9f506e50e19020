"""Decoding, resampling, FLAC blocks: everything that touches samples but no model."""
