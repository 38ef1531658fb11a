"""What rivals have in common."""

from torch import Tensor, nn

from classaware.regularization.arguments import check_integers, check_shapes, check_weights
from classaware.regularization.labels import checked_labels, resize_labels, split_valid


class Rival(nn.Module):
    """A loss on features and labels; made from (channels, classes, ignore index) and options of its own.

    Args:
        channels: C of the features.
        num_classes: K, at least 1.
        ignore_index: label of pixels that have no class.
        weight: factor of the result.
        check_labels: look for labels that are neither a class nor ``ignore_index``. None: on the CPU only, for on
            another device the look waits for it. Where not looked for, such pixels count as ignored.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        ignore_index: int = 255,
        *,
        weight: float = 1.0,
        check_labels: bool | None = None,
    ) -> None:
        super().__init__()
        check_integers(1, {"channels": channels, "num_classes": num_classes})
        check_integers(None, {"ignore_index": ignore_index})
        check_weights({"weight": weight})
        self.channels = channels
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.weight = weight
        self.check_labels = check_labels

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, C, H, W) and labels (B, Hl, Wl) to a scalar with a graph."""
        raise NotImplementedError("a rival defines forward")

    def labels_at_features(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The labels of the features' pixels, after the checks that ClassAwareRegularization makes too.

        Args:
            features: floating (B, C, H, W).
            labels: integer (B, Hl, Wl) at any resolution.

        Returns:
            y_BP int64 with 0 where there is no class, and valid_BP bool.

        Raises:
            ValueError: wrong rank, dtype, batch size, device or number of channels, or a bad label.
        """
        check_shapes(features, labels)
        if features.shape[1] != self.channels:
            raise ValueError(
                f"features have {features.shape[1]} channels, but the loss was made for {self.channels}. "
                "Set channels to those of the layer that it watches."
            )
        if features.device.type == "cpu" if self.check_labels is None else self.check_labels:
            labels = checked_labels(labels, features.detach(), self.num_classes, self.ignore_index, True, False)
        y_BP = resize_labels(labels, (features.shape[2], features.shape[3])).flatten(1)
        return split_valid(y_BP, self.num_classes, self.ignore_index)
