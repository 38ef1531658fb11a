"""Center loss: Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016."""

import torch
from torch import Tensor

from classaware.regularization.centers import class_sums
from classaware.regularization.distributed import sum_over_processes
from classaware.regularization.labels import one_hot
from classaware.regularization.precision import at_least_float32
from classaware.rivals.base import Rival


class CenterLoss(Rival):
    """Squared distance of every pixel's feature to a moving center of its class.

    Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016, with the pixels of
    a segmentation network's features as samples. Eq. 2 sums 1/2 ||x_i - c_{y_i}||^2 over the mini-batch; here it is
    the mean over the labelled pixels, so that the weight does not depend on the crop or the batch. The centers get no
    gradient; in training mode they are updated after the loss was computed (Eqs. 3, 4)::

        delta_j = sum_{i: y_i = j} (c_j - x_i) / (1 + n_j)        c_j <- c_j - alpha delta_j

    They start at zero and are saved with the model. In a distributed run loss and update are those of the joint batch,
    in all processes, which all have to call it: one collective; under the averaging of gradients over processes (DDP,
    FSDP) the joint batch's gradient comes out. Everything is computed in float32 (float64 for float64 features)
    whatever the features' dtype and whether autocast is on. Nothing waits for a device.

    Args:
        channels: C of the features.
        num_classes: K, at least 1.
        ignore_index: label of pixels that have no class.
        alpha: rate of the centers, in [0, 1].
        weight: factor of the result (lambda of Eq. 5; the paper's 0.003 belongs to a sum over faces).
        check_labels: look for labels that are neither a class nor ``ignore_index``. None: on the CPU only, for on
            another device the look waits for it. Where not looked for, such pixels count as ignored.
    """

    centers_KC: Tensor

    def __init__(
        self,
        channels: int,
        num_classes: int,
        ignore_index: int = 255,
        *,
        alpha: float = 0.5,
        weight: float = 1.0,
        check_labels: bool | None = None,
    ) -> None:
        super().__init__(channels, num_classes, ignore_index, weight=weight, check_labels=check_labels)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha}: must be in [0, 1].")
        self.alpha = alpha
        self.register_buffer("centers_KC", torch.zeros(num_classes, channels))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss and, in training mode, move the centers.

        Args:
            features: (B, C, H, W), any floating dtype.
            labels: (B, Hl, Wl), any integer dtype, at any resolution; brought to (H, W) by nearest resizing with
                aligned corners.

        Returns:
            A scalar with a graph; zero where nothing is labelled.

        Raises:
            ValueError: wrong rank, dtype, batch size or number of channels, or (see ``check_labels``) a bad label.
        """
        y_BP, valid_BP = self.labels_at_features(features, labels)
        with torch.autocast(features.device.type, enabled=False):
            x_BCHW = at_least_float32(features)
            # Masked before and not after the square, for the gradient of a masked NaN is NaN.
            x_BPC = x_BCHW.flatten(2).transpose(1, 2).where(valid_BP.unsqueeze(-1), 0)
            centers_BPC = self.centers_KC.to(x_BPC.dtype)[y_BP].where(valid_BP.unsqueeze(-1), 0)
            squares = (x_BPC - centers_BPC).square().sum()
            sums_BKC, counts_BK = class_sums(x_BPC.detach(), one_hot(y_BP, valid_BP, self.num_classes))
            sums_KC, counts_K = sums_BKC.sum(0), counts_BK.sum(0)
            joint = sum_over_processes(torch.cat([squares.view(1), counts_K, sums_KC.flatten()]))
            squares, counts_K, sums_C = joint[0], joint[1 : 1 + len(counts_K)], joint[1 + len(counts_K) :]
            if self.training:
                self._move(sums_C.detach().view_as(sums_KC), counts_K.detach())
            return self.weight * squares / (2 * counts_K.detach().sum().clamp(min=1))

    @torch.no_grad()
    def _move(self, sums_KC: Tensor, counts_K: Tensor) -> None:
        """Eqs. 3 and 4."""
        counts_K1 = counts_K.unsqueeze(-1)
        old_KC = self.centers_KC.to(sums_KC.dtype)
        delta_KC = (counts_K1 * old_KC - sums_KC) / (1 + counts_K1)
        # A batch that overflowed (a loss scaler skips its step) must not stay in the centers for good.
        delta_KC = delta_KC.where(delta_KC.isfinite().all(1, keepdim=True), 0)
        # A new tensor, not an update in place: compiled code may recompute from the old one in backward.
        self.centers_KC = (old_KC - self.alpha * delta_KC).to(self.centers_KC.dtype)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"channels={self.channels}, num_classes={self.num_classes}, alpha={self.alpha}, weight={self.weight}"
