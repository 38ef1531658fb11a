"""Weights of pixels by how rare the company of their class is in training.

Not in the paper. A network that always saw sheep on grass learns sheep from the grass; the few pixels that contradict
it drown among those that confirm it. Here each context that a class was seen in has about an equal say.
"""

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from classaware.regularization.arguments import check_integers, check_label_maps
from classaware.regularization.distributed import sum_over_processes
from classaware.regularization.labels import checked_labels, split_valid
from classaware.regularization.precision import at_least_float32


class RarePairs(nn.Module):
    """Weights for a cross-entropy, from labels alone.

    In each image, what a class touches gives a distribution q over the other classes; p is its mean over all images of
    training so far. The class's pixels in that image count (p . p) / (p . q), within 1/``most`` and ``most``: below 1
    where the class stands with what it usually stands with, above where it does not. For classes that each stand on one
    context at a time that is inverse to the frequency of the pair. Divided by the class's mean over its pixels of
    training so far, this is the weight: a class as a whole keeps its say, its contexts share it anew.

    Both means are counted in training mode, saved with the model, and over all processes of a distributed run.

    Args:
        num_classes: K.
        ignore_index: label of pixels that have no class.
        most: no pixel counts more than this, nor less than its inverse, before the division by the class's mean.
        reach: pixels touch at this distance, along rows and columns, as a share of the label map's diagonal; unlabeled
            pixels in between do not part them.
    """

    seen_KK: Tensor
    counted_K: Tensor
    pixels_K: Tensor

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
        self.register_buffer("counted_K", torch.zeros(num_classes))  # what the class's pixels counted,
        self.register_buffer("pixels_K", torch.zeros(num_classes))  # and how many they were, both in shares of an image

    @torch.no_grad()
    def forward(self, labels: Tensor) -> Tensor:
        """Labels (B, H, W), any integer dtype, to weights (B, H, W) float32: 0 where unlabeled.

        Raises:
            ValueError: labels of another shape or type; on a CPU, one that is neither a class nor ``ignore_index``.
        """
        check_label_maps(labels)
        checked = checked_labels(labels, labels, self.num_classes, self.ignore_index, labels.is_cpu, False)
        y_BHW, valid_BHW = split_valid(checked, self.num_classes, self.ignore_index)
        share_BKK, pixels_BK = self._shares(y_BHW, valid_BHW), self._pixels(y_BHW, valid_BHW)
        if self.training:
            # Not in place: the counts stay in float32 where the model is cast to less, which would stop counting.
            self.seen_KK = at_least_float32(self.seen_KK) + self._joint(share_BKK.sum(0))
        usual_KK = self.seen_KK / self.seen_KK.sum(1, keepdim=True).clamp(min=1e-12)
        familiar_BK = (share_BKK * usual_KK).sum(-1)
        count_BK = (usual_KK.square().sum(-1) / familiar_BK.clamp(min=1e-12)).clamp(1 / self.most, self.most)
        knows_BK = (share_BKK.sum(-1) > 0) & (usual_KK.sum(-1) > 0)  # else alone in its image, or so far in all
        count_BK = torch.where(knows_BK, count_BK, 1.0)
        if self.training:
            more_2K = self._joint(torch.stack([(count_BK * pixels_BK).sum(0), pixels_BK.sum(0)]))
            self.counted_K = at_least_float32(self.counted_K) + more_2K[0]
            self.pixels_K = at_least_float32(self.pixels_K) + more_2K[1]
        mean_K = torch.where(self.pixels_K > 0, self.counted_K / self.pixels_K.clamp(min=1e-12), 1.0)
        weight_BP = (count_BK / mean_K).gather(1, y_BHW.flatten(1))
        return weight_BP.view_as(y_BHW) * valid_BHW

    def _joint(self, sums: Tensor) -> Tensor:
        return sum_over_processes(sums, self.process_group)

    def _pixels(self, y_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        """(B, K) float32: the share of each image's pixels that each class has."""
        B, H, W = y_BHW.shape
        counts = torch.bincount(self._of_image(y_BHW)[valid_BHW], minlength=B * self.num_classes)
        return counts.view(B, -1).float() / (H * W)

    def _of_image(self, y_BHW: Tensor) -> Tensor:
        """Classes numbered on from image to image, 0 to B K - 1."""
        images = torch.arange(len(y_BHW), device=y_BHW.device)
        return images.view(-1, 1, 1) * self.num_classes + y_BHW

    def _shares(self, y_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        """(B, K, K) float32: row k is the distribution over what class k touches in an image; zeros where nothing."""
        B, H, W = y_BHW.shape
        K = self.num_classes
        reach = max(1, round(self.reach * (H * H + W * W) ** 0.5))
        counts = y_BHW.new_zeros(B * K * K)
        for axis in (1, 2):
            step = min(reach, y_BHW.shape[axis] - 1)
            length = y_BHW.shape[axis] - step
            one, other = y_BHW.narrow(axis, 0, length), y_BHW.narrow(axis, step, length)
            both = valid_BHW.narrow(axis, 0, length) & valid_BHW.narrow(axis, step, length)
            pair = (self._of_image(one) * K + other)[both & (one != other)]
            counts = counts + torch.bincount(pair, minlength=B * K * K)
        counts_BKK = counts.view(B, K, K)
        counts_BKK = (counts_BKK + counts_BKK.transpose(1, 2)).float()
        return counts_BKK / counts_BKK.sum(-1, keepdim=True).clamp(min=1)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"num_classes={self.num_classes}, most={self.most}, reach={self.reach}"
