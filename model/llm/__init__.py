"""The audio LLM: reads two token streams, and has a text branch and an audio branch.

Report section 2.3. Importing this package or its `config` does not import torch.
"""
