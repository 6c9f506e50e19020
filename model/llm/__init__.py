"""The audio LLM: two token streams in, a shared trunk, a text branch and an audio branch.

Report section 2.3. Importing this package or its `config` does not import torch.
"""
