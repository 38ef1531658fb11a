"""A network to be looked at: its name, and what it makes of one image."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.evaluation.inference import checked_logits
from classaware.models import Network, SegmenterOutput
from classaware.resizing import resize_maps, resize_window


class Look(NamedTuple):
    """What a network computes of one image seen whole.

    Attributes:
        logits_KHW: float32 (K, h, w), at the features' size.
        features_CHW: float32 (C, h, w): all taps side by side.
    """

    logits_KHW: Tensor
    features_CHW: Tensor


@dataclass(frozen=True)
class Subject:
    """A network with its name.

    Attributes:
        name: shown wherever the network is.
        network: in eval mode, on ``device``, not folded (a folded network has no tap).
        inference: how it predicts.
        device: where it runs.
    """

    name: str
    network: Network
    inference: Inference
    device: torch.device

    @property
    def num_classes(self) -> int:
        """K."""
        return self.network.num_classes

    @torch.no_grad()
    def look(self, image_3HW: Tensor) -> Look:
        """Logits and features of a uint8 image (3, H, W), seen whole, at ``inference.image_size`` or its own size.

        On the CPU. Without padding, windows and scales: what features are is one map of one image.

        Raises:
            InputError: not an image, no features or some that are not finite, or logits that are nan.
        """
        if image_3HW.ndim != 3 or image_3HW.shape[0] != 3 or image_3HW.dtype != torch.uint8:
            raise InputError(f"The image is {image_3HW.dtype} {tuple(image_3HW.shape)}. Give uint8 (3, height, width).")
        size = self.inference.image_size or (image_3HW.shape[1], image_3HW.shape[2])
        pixels = image_3HW.as_subclass(Tensor)[None].to(self.device)
        output: SegmenterOutput = self.network(resize_window(pixels, size) / 255)
        if not output.taps:
            raise InputError(
                f"network {self.name!r} gives no features to look at: use one with a tap, or name a layer."
            )
        features = output.features.float()
        if not bool(torch.isfinite(features).all()):
            raise InputError(
                f"network {self.name!r} makes features that are nan or infinite: its training has diverged, or its "
                "weights are damaged. Use an earlier checkpoint."
            )
        grid = (features.shape[2], features.shape[3])
        return Look(resize_maps(checked_logits(output.logits.float()), grid)[0].cpu(), features[0].cpu())

    def predict(self, image_3HW: Tensor) -> Tensor:
        """Classes int64 (H, W) of a uint8 image (3, H, W), on the CPU."""
        pixels = image_3HW.as_subclass(Tensor)[None].to(self.device)
        return self.inference.predict(self.network, pixels, (image_3HW.shape[1], image_3HW.shape[2]))[0].cpu()
