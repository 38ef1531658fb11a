"""Cross-image pixel contrast (CIPC): Wang et al., "Exploring Cross-Image Pixel Contrast for Semantic Segmentation"."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.regularization.arguments import check_integers
from classaware.regularization.centers import class_centers, class_sums
from classaware.regularization.distributed import processes, sum_over_processes
from classaware.regularization.labels import one_hot, resize_labels
from classaware.regularization.precision import at_least_float32
from classaware.rivals.base import Rival
from classaware.rivals.info_nce import contrast_anchors
from classaware.rivals.memory import ClassMemory
from classaware.rivals.sampling import random_keys, sample_pixels


class PixelContrast(Rival):
    """Cross-image pixel contrast (CIPC) on a segmentation network's features.

    Wang et al., "Exploring Cross-Image Pixel Contrast for Semantic Segmentation", ICCV 2021. Pixels of all images of
    the batch are projected to unit vectors (1x1 convolution, batch norm, ReLU, 1x1 convolution); some of each class
    and image are drawn as anchors, and pulled to those of their class and pushed from the others
    (:func:`~classaware.rivals.info_nce.contrast_anchors`). With a memory the anchors also see, for each class, the last
    means over its pixels in an image (region memory) and the last single pixels (pixel memory). Nothing remains at
    inference.

    As in the authors' code the head has a batch norm, which the paper does not mention; its statistics (and only they)
    see ignored pixels too, like those of every batch norm in the network. With ``predictions``, half of the anchors are
    wrongly predicted pixels ("segmentation-aware hard anchors"); without, they are random. All drawn and stored
    vectors are contrasted; the paper draws among the hardest tenth of the memory, which its code does not.

    Other departures from the authors' code: a memory adds to the batch's own pixels in place of
    replacing them, places that were never filled take no part, class 0 is remembered like every other, the pixels
    that are remembered for a class are of that class, small classes are not left out, and the loss is not multiplied by
    temperature / base_temperature. The code's settings are temperature 0.07, anchors 100, weight 0.1,
    memory_size 5000.

    The loss is computed in float32 (float64 where the module is) whatever the features' dtype and whether autocast is
    on. Nothing waits for a device. In a distributed run every process draws, contrasts and remembers in its own share
    (and DistributedDataParallel takes the first one's memory for all); the result is the mean of the processes' losses,
    in all of them, which is not that of the joint batch. Which pixels are drawn depends on ``seed`` and on the
    number of calls in training mode, which is saved with the memory. (Not to be called inside activation checkpointing:
    the second run of the forward would draw other pixels.)

    Args:
        channels: C of the features.
        num_classes: K, at least 1.
        ignore_index: label of pixels that have no class.
        memory_size: vectors of each class in either memory; 0: no memory. The paper keeps one region vector for every
            image of the data set and ten times as many pixels: K * 2 * memory_size vectors are held and compared.
        embedding_channels: size of the projected vectors.
        temperature: t of Eq. 3, above 0.
        anchors: most anchors of one class and image.
        max_anchors: most anchors in all; every class of every image gives one before any gives a second.
        pixels_per_update: pixels of each class and image that enter the pixel memory (V of the paper).
        weight: factor of the result (lambda of the paper's total loss).
        seed: of the draws.
        check_labels: look for labels that are neither a class nor ``ignore_index``. None: on the CPU only, for on
            another device the look waits for it. Where not looked for, such pixels count as ignored.
    """

    step: Tensor

    def __init__(
        self,
        channels: int,
        num_classes: int,
        ignore_index: int = 255,
        *,
        memory_size: int = 0,
        embedding_channels: int = 256,
        temperature: float = 0.1,
        anchors: int = 50,
        max_anchors: int = 1024,
        pixels_per_update: int = 10,
        weight: float = 1.0,
        seed: int = 0,
        check_labels: bool | None = None,
    ) -> None:
        super().__init__(channels, num_classes, ignore_index, weight=weight, check_labels=check_labels)
        check_integers(
            1,
            {
                "embedding_channels": embedding_channels,
                "anchors": anchors,
                "max_anchors": max_anchors,
                "pixels_per_update": pixels_per_update,
            },
        )
        check_integers(0, {"memory_size": memory_size})
        check_integers(None, {"seed": seed})
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature={temperature}: must be a finite number above 0.")
        self.temperature = temperature
        self.anchors = anchors
        self.max_anchors = max_anchors
        self.pixels_per_update = pixels_per_update
        self.seed = seed
        self.projection = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, embedding_channels, 1),
        )
        sizes = (num_classes, memory_size, embedding_channels)
        self.regions = ClassMemory(*sizes) if memory_size else None
        self.pixels = ClassMemory(*sizes) if memory_size else None
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor | None = None) -> Tensor:
        """Compute the loss and, in training mode, remember the batch.

        Args:
            features: (B, C, H, W), any floating dtype.
            labels: (B, Hl, Wl), any integer dtype, at any resolution; brought to (H, W) by nearest resizing with
                aligned corners.
            predictions: (B, Hp, Wp), the network's classes in any integer dtype, at any resolution; what is not the
                label is a hard anchor.

        Returns:
            A scalar with a graph; zero where there is nothing to contrast.

        Raises:
            ValueError: wrong rank, dtype, batch size or number of channels, or (see ``check_labels``) a bad label.
        """
        y_BP, valid_BP = self.labels_at_features(features, labels)
        hard_BP = None if predictions is None else _at_features(predictions, features) != y_BP
        with torch.autocast(features.device.type, enabled=False):
            z_BPC = self.embed(features)
            index_A, usable_A = self.sample(y_BP, valid_BP, hard_BP)
            others = self._remembered(z_BPC)
            z_AC, y_A = z_BPC.flatten(0, 1)[index_A], y_BP.flatten()[index_A]
            loss = self.weight * contrast_anchors(z_AC, y_A, usable_A, *others, self.temperature)
            loss = sum_over_processes(loss) / processes()
            if self.training:
                self._remember(z_BPC.detach(), y_BP, valid_BP)
                self.step = self.step + 1
            return loss

    def embed(self, features: Tensor) -> Tensor:
        """Project features (B, C, H, W) to unit vectors (B, P, embedding_channels), at least float32."""
        dtype = next(self.projection.parameters()).dtype
        z_BCHW = at_least_float32(self.projection(features.to(dtype)))
        return F.normalize(z_BCHW, dim=1).flatten(2).transpose(1, 2)

    def sample(self, y_BP: Tensor, valid_BP: Tensor, hard_BP: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The anchors of this step: see :func:`classaware.rivals.sampling.sample_pixels`."""
        keys_N = random_keys(y_BP.numel(), self.seed, self.step, 0)
        return sample_pixels(y_BP, valid_BP, keys_N, self.num_classes, self.anchors, self.max_anchors, hard_BP)

    def _remembered(self, z_BPC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors, classes and usability of all that both memories hold; of length 0 without memories."""
        if self.regions is None or self.pixels is None:
            none = torch.zeros(0, dtype=torch.int64, device=z_BPC.device)
            return z_BPC.new_zeros(0, z_BPC.shape[-1]), none, none.bool()
        regions, pixels = self.regions.contents(), self.pixels.contents()
        vectors, classes, filled = (torch.cat(pair) for pair in zip(regions, pixels, strict=True))
        return vectors.to(z_BPC.dtype), classes, filled

    @torch.no_grad()
    def _remember(self, z_BPC: Tensor, y_BP: Tensor, valid_BP: Tensor) -> None:
        """Append each image's class means and a few of its pixels to the memories."""
        if self.regions is None or self.pixels is None:
            return
        sums_BKC, counts_BK = class_sums(z_BPC, one_hot(y_BP, valid_BP, self.num_classes))
        means_NC = F.normalize(class_centers(sums_BKC, counts_BK).flatten(0, 1), dim=1)
        class_N = torch.arange(self.num_classes, device=y_BP.device).expand_as(counts_BK).flatten()
        self.regions.push(means_NC, self._class_or_none(means_NC, class_N, (counts_BK > 0).flatten()))

        keys_N = random_keys(y_BP.numel(), self.seed, self.step, 1)
        limit = len(y_BP) * self.num_classes * self.pixels_per_update
        index_N, chosen_N = sample_pixels(y_BP, valid_BP, keys_N, self.num_classes, self.pixels_per_update, limit)
        z_NC, class_N = z_BPC.flatten(0, 1)[index_N], y_BP.flatten()[index_N]
        self.pixels.push(z_NC, self._class_or_none(z_NC, class_N, chosen_N))

    def _class_or_none(self, x_NC: Tensor, class_N: Tensor, wanted_N: Tensor) -> Tensor:
        """A batch that overflowed (a loss scaler skips its step) must not stay in the memory."""
        return class_N.where(wanted_N & x_NC.isfinite().all(1), self.num_classes)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return (
            f"num_classes={self.num_classes}, temperature={self.temperature}, anchors={self.anchors}, "
            f"max_anchors={self.max_anchors}, weight={self.weight}, seed={self.seed}"
        )


def _at_features(predictions: Tensor, features: Tensor) -> Tensor:
    """Predictions (B, P) of the features' pixels."""
    if predictions.ndim != 3 or predictions.is_floating_point() or len(predictions) != len(features):
        raise ValueError(
            f"predictions must be integers and ({len(features)}, H, W), got {predictions.dtype} of shape "
            f"{tuple(predictions.shape)}. Take logits.argmax(1)."
        )
    if predictions.device != features.device or predictions.numel() == 0:
        raise ValueError(
            f"predictions of shape {tuple(predictions.shape)} are on {predictions.device}, features on "
            f"{features.device}: pass a map that is not empty, on the same device."
        )
    return resize_labels(predictions, (features.shape[2], features.shape[3])).flatten(1)
