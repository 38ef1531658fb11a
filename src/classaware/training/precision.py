"""Which precision a training has when none is asked for."""

import torch


def default_precision(accelerator: str) -> str:
    """``bf16-mixed`` on a CUDA device that computes it itself, else ``32-true``.

    On a CPU with units for bfloat16 it depends on the network: dense convolutions (ResNet-50) train up to twice as
    fast, depthwise ones (EfficientNet-Lite0) more slowly; there it has to be asked for.

    Args:
        accelerator: Lightning's name of where to train: ``auto``, ``cpu``, ``gpu``, ``cuda``, ...
    """
    on_cuda = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
