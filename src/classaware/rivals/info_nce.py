"""The contrast of anchors with themselves and with remembered vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast_anchors(
    z_AC: Tensor, y_A: Tensor, usable_A: Tensor, others_NC: Tensor, y_N: Tensor, usable_N: Tensor, temperature: float
) -> Tensor:
    """InfoNCE with several positives (Eq. 3 of the paper), averaged over the anchors that have a positive.

    Every anchor i is held against all other anchors and all further vectors::

        1/|P_i| sum_{p in P_i} -log(exp(i.p/t) / (exp(i.p/t) + sum_{n in N_i} exp(i.n/t)))

    with its own class in P_i and the other classes in N_i. An anchor without a negative counts with 0, one without a
    positive does not count.

    Args:
        z_AC: float unit vectors, the anchors; they get a gradient also as positives and negatives.
        y_A: int64 classes.
        usable_A: bool; the others take no part.
        others_NC: further unit vectors of z_AC's dtype to contrast with; N may be 0.
        y_N: int64 classes.
        usable_N: bool; the others take no part.
        temperature: t.

    Returns:
        A scalar; zero with a graph where no anchor has a positive.
    """
    anchors = len(z_AC)
    logits = z_AC @ torch.cat([z_AC, others_NC]).T / temperature  # (A, A + N)
    same = y_A.unsqueeze(1) == torch.cat([y_A, y_N])
    usable = usable_A.unsqueeze(1) & torch.cat([usable_A, usable_N])
    columns = torch.arange(logits.shape[1], device=logits.device)
    positive = same & usable & (columns[:anchors].unsqueeze(1) != columns)
    # Finite in place of -inf, so that an anchor without negatives meets no inf - inf, nor its derivatives.
    negatives_A1 = logits.masked_fill(same | ~usable, -1e30).logsumexp(1, keepdim=True)
    loss = -F.logsigmoid(logits - negatives_A1)
    count_A = positive.sum(1)
    loss_A = loss.where(positive, 0).sum(1) / count_A.clamp(min=1)
    return loss_A.sum() / (count_A > 0).sum().clamp(min=1)
