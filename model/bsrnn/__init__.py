"""Band-Split RNN: a 48 kHz denoiser and dereverberator, and the script that trains it.

Architecture of Luo and Yu 2022 (arXiv 2209.15174) with the changes of Yu et al. 2022
(arXiv 2212.00406), which the report (3.1) follows. Importing this package or its `config` and
`checkpoint` does not import torch.
"""
