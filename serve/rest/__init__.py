"""The REST interfaces: chat completions, speech, transcriptions."""
