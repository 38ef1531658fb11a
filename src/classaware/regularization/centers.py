"""Class centers from ground truth (paper, Sec. 3.1, Eq. 1)."""

from typing import Any

import torch
from torch import Tensor, nn


def class_sums(x_BPC: Tensor, own_BPK: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the features and number of the pixels of each class in each image.

    A matrix product with the one-hot labels, hence deterministic on every device.

    Returns:
        sums_BKC in the features' dtype and counts_BK in the same dtype (exact up to 2^24 pixels of a class in float32).
    """
    own_BPK = own_BPK.to(x_BPC.dtype)
    return own_BPK.transpose(1, 2) @ x_BPC, own_BPK.sum(1)


def class_centers(sums_BKC: Tensor, counts_BK: Tensor) -> Tensor:
    """Eq. 1: mean feature of each class; the zero vector for a class without pixels."""
    return sums_BKC / counts_BK.clamp(min=1).unsqueeze(-1)


class RunningCenters(nn.Module):
    """Exponential moving average of the batch's class centers, saved with the model.

    A class takes the first batch mean in which it occurs as it is, and is present from then on; until then nothing
    reads its row. (The authors' code starts from random vectors instead.) Only in eval mode can a labelled pixel belong
    to a class never seen; its center is the zero vector.

    Args:
        num_classes: K.
        decay: share of the old center that is kept in an update, in [0, 1).

    The number of channels is taken from the first features or from a state dict.
    """

    centers_KC: Tensor
    seen_K: Tensor

    def __init__(self, num_classes: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("centers_KC", torch.zeros(num_classes, 0))
        self.register_buffer("seen_K", torch.zeros(num_classes, dtype=torch.bool))

    def take_channels(self, channels: int, like: Tensor) -> None:
        """Have rows of that many channels from the start, so that copies made before the first features fit later."""
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        self.centers_KC = torch.zeros(len(self.seen_K), channels, dtype=dtype, device=like.device)

    def forward(self, mu_KC: Tensor, present_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the batch's centers in (in training mode) and return the running ones.

        Args:
            mu_KC: class centers of this batch.
            present_K: bool, classes that occur in it.

        Returns:
            The running centers (K, C) as a differentiable function of ``mu_KC``, the classes seen so far (K,), and the
            derivative (K,) of a class's running center to its center in the batch.
        """
        if self.centers_KC.shape[1] == 0:
            # Of its own: neither an inference tensor nor one that belongs to a function transform.
            with torch.inference_mode(False):
                self.centers_KC = torch.zeros(mu_KC.shape, dtype=mu_KC.dtype, device=mu_KC.device)
        if self.centers_KC.shape != mu_KC.shape:
            raise ValueError(
                f"features have {mu_KC.shape[1]} channels, but the running centers were made with "
                f"{self.centers_KC.shape[1]}. Use one ClassAwareRegularization for each layer."
            )
        # A batch that overflowed (a loss scaler skips its step) must not stay in the centers for good.
        finite_K = mu_KC.isfinite().all(-1)
        present_K = present_K & finite_K
        mu_KC = mu_KC.where(finite_K.unsqueeze(-1), 0)
        # Cloned, for the in-place update below must not touch what autograd keeps.
        old_KC, seen_K = self.centers_KC.clone().to(mu_KC.dtype), self.seen_K
        if not self.training:
            return old_KC, seen_K, torch.zeros_like(mu_KC[:, 0])
        share_K1 = torch.where(seen_K, torch.full_like(mu_KC[:, 0], 1 - self.decay), 1.0).unsqueeze(-1)
        new_KC = torch.where(present_K.unsqueeze(-1), old_KC + share_K1 * (mu_KC - old_KC), old_KC)
        with torch.no_grad():
            self.centers_KC.copy_(new_KC)
        # A new tensor, not an update in place: compiled code recomputes share_K1 from the old one in backward.
        self.seen_K = seen_K | present_K
        return new_KC, self.seen_K, share_K1[:, 0] * present_K

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the number of channels from the state dict where none is known yet."""
        saved = state_dict.get(prefix + "centers_KC")
        if saved is not None and 0 in (saved.shape[1], self.centers_KC.shape[1]):
            self.centers_KC = torch.zeros_like(saved, device=self.centers_KC.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
