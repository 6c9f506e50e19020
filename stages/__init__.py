"""The five stages: denoise, diarize, transcribe, filter, tokenize; engines behind each."""
