"""The detokenizer: semantic tokens to speech, chunk by chunk (report section 2.4).

12.5 tokens a second, each repeated four times, condition a flow-matching network that turns noise
into log-mel frames (50 a second, 80 bands); a BigVGAN vocoder turns frames into audio at 24 kHz.

    detokenizer = Detokenizer.from_pretrained(folder)
    voice = detokenizer.voice(tokens, audio)                # optional: three seconds of a speaker
    stream = detokenizer.stream(torch.Generator().manual_seed(0), voice)
    for piece in pieces_of_tokens:
        play(stream.push(piece))
    play(stream.push([], final=True))

What differs from the published code, which has audible defects, is said in `streams` and in
`docs/published-format.md`.
"""
