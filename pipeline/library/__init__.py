"""What Python users get from `import wavemill`: a few calls over all the other folders.

`wavemill/__init__.py` names them, and docs/python.md shows them.
"""
