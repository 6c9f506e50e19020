"""Audio in, semantic tokens and acoustic features out, both at 12.5 Hz (report section 2.2).

`semantic` is the discrete tokenizer, `acoustic` the continuous feature extractor.
"""
