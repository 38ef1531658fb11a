"""The last vectors of every class, in ring buffers that are filled without a loop."""

import torch
from torch import Tensor, nn


class ClassMemory(nn.Module):
    """A first-in first-out queue of fixed length for each class, saved with the model.

    Vector number n of a class (from 0) lies in place n mod ``size``.

    Args:
        num_classes: K.
        size: M, places of each class.
        channels: C of the vectors.
    """

    vectors_KMC: Tensor
    pushed_K: Tensor

    def __init__(self, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("vectors_KMC", torch.zeros(num_classes, size, channels))
        self.register_buffer("pushed_K", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, x_NC: Tensor, class_N: Tensor) -> None:
        """Append vectors to their classes' queues in the order given.

        Args:
            x_NC: N of at least 1.
            class_N: int64 in [0, K]; K means that the vector is not kept.
        """
        classes, size, _ = self.vectors_KMC.shape
        order_N = class_N.argsort(stable=True)
        sorted_N = class_N[order_N].contiguous()
        each_K = torch.arange(classes, device=class_N.device)
        first_K = torch.searchsorted(sorted_N, each_K)
        count_K1 = (torch.searchsorted(sorted_N, each_K, right=True) - first_K).unsqueeze(1)
        # Which of a class's new vectors meets a place first, and which last where there are more of them than places.
        # Read per place, not written per vector, so that no two writes can meet.
        earliest_KM = (torch.arange(size, device=class_N.device) - self.pushed_K.unsqueeze(1)) % size
        latest_KM = earliest_KM + (count_K1 - 1 - earliest_KM) // size * size
        source_KM = order_N[(first_K.unsqueeze(1) + latest_KM).clamp(0, len(order_N) - 1)]
        fresh_KM1 = (earliest_KM < count_K1).unsqueeze(-1)
        # New tensors, not updates in place: compiled code may recompute from the old ones in backward.
        self.vectors_KMC = torch.where(fresh_KM1, x_NC[source_KM].to(self.vectors_KMC.dtype), self.vectors_KMC)
        self.pushed_K = self.pushed_K + count_K1.squeeze(1)

    def contents(self) -> tuple[Tensor, Tensor, Tensor]:
        """All places: vectors (K*M, C), their classes int64 (K*M,), and bool (K*M,): which hold a vector."""
        classes, size, _ = self.vectors_KMC.shape
        places_M = torch.arange(size, device=self.pushed_K.device)
        class_K1 = torch.arange(classes, device=self.pushed_K.device).unsqueeze(1)
        filled_KM = places_M < self.pushed_K.unsqueeze(1)
        return self.vectors_KMC.flatten(0, 1), class_K1.expand(classes, size).flatten(), filled_KM.flatten()
