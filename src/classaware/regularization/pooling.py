"""Average pooling of the features before the regularizer, as the authors' code has it."""

import torch.nn.functional as F
from torch import Tensor


def average_pool(x_BCHW: Tensor, rate: int) -> Tensor:
    """Average over ``rate`` x ``rate`` cells, ceil(H / rate) x ceil(W / rate) of them; padding is not averaged in.

    What is missing to a multiple of ``rate`` is added half before and half after, the odd one after (TensorFlow's
    SAME; for a rate of 2 the last cell of an odd side holds one row).
    """
    if rate == 1:
        return x_BCHW
    missing = [-size % rate for size in x_BCHW.shape[-2:]]
    if not any(missing):
        return F.avg_pool2d(x_BCHW, rate)
    top, left = missing[0] // 2, missing[1] // 2
    padding = (left, missing[1] - left, top, missing[0] - top)
    inside_11HW = F.pad(x_BCHW.new_ones(1, 1, *x_BCHW.shape[-2:]), padding)
    return F.avg_pool2d(F.pad(x_BCHW, padding), rate) / F.avg_pool2d(inside_11HW, rate)
