"""Model folders on disk, the same for every network.

`folders` says where a checkpoint is and reads its configuration, without importing torch;
`tensors` reads and writes its weights. Nothing in a folder is ever executed.
"""
