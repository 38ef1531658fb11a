"""Weights of pixels by how rare the company of their class is in training.

Not in the paper. A network that always saw sheep on grass learns sheep from the grass; the few pixels that contradict
it drown among those that confirm it. Here each context that a class was seen in has about an equal say.
"""

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from classaware.regularization.arguments import check_integers, check_label_maps
from classaware.regularization.distributed import sum_over_processes
from classaware.regularization.labels import checked_labels


class RarePairs(nn.Module):
    """Weights for a cross-entropy, from labels alone.

    In each image, what a class touches gives a distribution q over the other classes; p is its mean over all images of
    training so far. The weight of the class's pixels in that image is (p . p) / (p . q), within 1/``most`` and
    ``most``: below 1 where the class stands with what it usually stands with, above where it does not. For classes that
    each stand on one context at a time that is inverse to the frequency of the pair. Weights are divided by their mean
    over the labeled pixels of the batch.

    The mean is counted in training mode, saved with the model, and over all processes of a distributed run.

    Args:
        num_classes: K.
        ignore_index: label of pixels that have no class.
        most: no pixel weighs more than this, nor less than its inverse, before the division by the mean.
        reach: pixels touch at this distance, along rows and columns, as a share of the label map's diagonal; unlabeled
            pixels in between do not part them.
    """

    seen_KK: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255, most: float = 10.0, reach: float = 0.02) -> None:
        super().__init__()
        check_integers(1, {"num_classes": num_classes})
        check_integers(None, {"ignore_index": ignore_index})
        if not most >= 1:
            raise ValueError(f"most={most}: must be at least 1.")
        if not 0 < reach < 0.5:
            raise ValueError(f"reach={reach}: must be above 0 and below 0.5.")
        self.num_classes, self.ignore_index, self.most, self.reach = num_classes, ignore_index, most, reach
        self.process_group: ProcessGroup | None = None
        self.register_buffer("seen_KK", torch.zeros(num_classes, num_classes))

    @torch.no_grad()
    def forward(self, labels: Tensor) -> Tensor:
        """Labels (B, H, W), any integer dtype, to weights (B, H, W) float32: 0 where unlabeled, else 1 on average.

        Raises:
            ValueError: labels of another shape or type; on a CPU, one that is neither a class nor ``ignore_index``.
        """
        check_label_maps(labels)
        y_BHW = checked_labels(labels, labels, self.num_classes, self.ignore_index, labels.is_cpu, False).long()
        valid_BHW = (y_BHW >= 0) & (y_BHW < self.num_classes) & (y_BHW != self.ignore_index)
        share_BKK = self._shares(y_BHW, valid_BHW)
        if self.training:
            self.seen_KK += sum_over_processes(share_BKK.sum(0), self.process_group)
        usual_KK = self.seen_KK / self.seen_KK.sum(1, keepdim=True).clamp(min=1e-12)
        familiar_BK = (share_BKK * usual_KK).sum(-1)
        weight_BK = (usual_KK.square().sum(-1) / familiar_BK.clamp(min=1e-12)).clamp(1 / self.most, self.most)
        weight_BK = torch.where(share_BKK.sum(-1) > 0, weight_BK, 1.0)  # alone in its image
        weight_BP = weight_BK.gather(1, y_BHW.where(valid_BHW, 0).flatten(1))
        weight_BHW = weight_BP.view_as(y_BHW) * valid_BHW
        total = sum_over_processes(torch.stack([weight_BHW.sum(), valid_BHW.sum().float()]), self.process_group)
        return weight_BHW * (total[1] / total[0].clamp(min=1e-12))

    def _shares(self, y_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        """(B, K, K) float32: row k is the distribution over what class k touches in an image; zeros where nothing."""
        B, H, W = y_BHW.shape
        K = self.num_classes
        reach = max(1, round(self.reach * (H * H + W * W) ** 0.5))
        image_B11 = torch.arange(B, device=y_BHW.device).view(B, 1, 1)
        counts = y_BHW.new_zeros(B * K * K)
        for axis in (1, 2):
            length = y_BHW.shape[axis] - min(reach, y_BHW.shape[axis])
            one, other = (y_BHW.narrow(axis, start, length) for start in (0, y_BHW.shape[axis] - length))
            both = valid_BHW.narrow(axis, 0, length) & valid_BHW.narrow(axis, y_BHW.shape[axis] - length, length)
            both = both & (one != other)
            pair = ((image_B11 * K + one) * K + other)[both]
            counts = counts + torch.bincount(pair, minlength=B * K * K)
        counts_BKK = counts.view(B, K, K)
        counts_BKK = (counts_BKK + counts_BKK.transpose(1, 2)).float()
        return counts_BKK / counts_BKK.sum(-1, keepdim=True).clamp(min=1)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"num_classes={self.num_classes}, most={self.most}, reach={self.reach}"
