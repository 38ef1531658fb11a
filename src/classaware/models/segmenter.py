"""A segmentation network: backbone, head, tap, projection, classifier."""

import copy
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.backbone import Backbone, Pretrained
from classaware.models.heads import FCNHead, HeadFactory, SelfAttentionHead
from classaware.models.layers import initialize
from classaware.models.projection import FoldedProjection, Projection, ProjectionKind


class SegmenterOutput(NamedTuple):
    """What a network returns in training and evaluation alike.

    Attributes:
        logits: (B, K, h, w) at the features' resolution; see ``classaware.evaluation.resize_logits``.
        features: (B, C, h, w), the tap: what CAR and the class-dependency map look at.
    """

    logits: Tensor
    features: Tensor


class Segmenter(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to logits and tapped features. A network never sees labels.

    ``car`` and ``projection`` give the rows of the paper's Table 1: R1 off, 3x3; R2 off, 1x1; R5 on, 3x3; R8 on, 1x1;
    the rows between by weights of zero in the regularizer.

    Args:
        backbone: a :class:`Backbone`.
        head: makes the head from the backbone's channels, such as ``SelfAttentionHead`` or a partial of it.
        num_classes: K.
        car: ``on`` puts a 1x1 linear convolution in front of the projection, whose output CAR looks at.
            (YAML reads a bare ``on`` as true, so that is taken too.)
        projection: ``3x3`` is the head's own last convolution (3x3 in Self-Attention, 1x1 to half the width in FCN);
            ``1x1`` ("A" in the paper) is a 1x1 convolution of the tap's width in its place. (For FCN the authors'
            baseline with "A" drops the convolution; here it is replaced in every head alike, so that the folded
            network with CAR costs exactly what the baseline with "A" costs.)
        norm_eps: epsilon of the batch norms outside the backbone (1e-3 in the authors' code).
        norm_momentum: PyTorch's momentum of the same (3e-4 in the authors' code, for 30,000 steps).
    """

    def __init__(
        self,
        backbone: Backbone,
        head: HeadFactory,
        num_classes: int,
        car: Literal["off", "on"] | bool = "off",
        projection: ProjectionKind = "3x3",
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise InputError(f"num_classes={num_classes}: there must be at least one class.")
        if car not in ("off", "on", True, False):
            raise InputError(f"car={car!r} is unknown; choose 'off' or 'on'.")
        if projection not in get_args(ProjectionKind):
            raise InputError(f"projection={projection!r} is unknown; choose '3x3' or '1x1'.")
        if norm_eps <= 0 or not 0 < norm_momentum <= 1:
            raise InputError(f"norm_eps={norm_eps} must be above 0 and norm_momentum={norm_momentum} in (0, 1].")
        self.num_classes = num_classes
        self.backbone = backbone
        self.head = head(backbone.channels)
        width = self.head.tap_channels
        kernel_size, out_channels = self.head.projection if projection == "3x3" else (1, width)
        self.projection: Projection | FoldedProjection = Projection(
            self.head.channels, width, kernel_size, out_channels, car in ("on", True)
        )
        self.classifier = nn.Conv2d(out_channels, num_classes, 1)
        initialize(self.classifier)
        for part in (self.head, self.projection):
            for layer in part.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eps, layer.momentum = norm_eps, norm_momentum

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Logits and tap at the features' resolution."""
        tap, projected = self.projection(self.head(self.backbone(images)))
        return SegmenterOutput(self.classifier(projected), tap)

    def fold(self) -> "Segmenter":
        """The inference network: linear convolution, projection and batch norm as one convolution.

        Equal to this network in eval mode up to the rounding of float32, with the parameters and operations of the
        baseline without CAR (plus one channel for the borders under a 3x3 projection). A copy; this one stays as it is.
        """
        folded = copy.deepcopy(self).eval()
        if isinstance(folded.projection, Projection):
            folded.projection = FoldedProjection(folded.projection)
        return folded


HEADS: dict[str, HeadFactory] = {"fcn": FCNHead, "self-attention": SelfAttentionHead}


def create_segmenter(
    backbone: str,
    head: Literal["fcn", "self-attention"],
    num_classes: int,
    *,
    output_stride: Literal[8, 16, 32] = 8,
    pretrained: Pretrained = "no",
    car: Literal["off", "on"] = "off",
    projection: ProjectionKind = "3x3",
) -> Segmenter:
    """A :class:`Segmenter` by names, with the paper's widths."""
    if head not in HEADS:
        raise InputError(f"head {head!r} is unknown; choose one of {', '.join(HEADS)}.")
    return Segmenter(Backbone(backbone, output_stride, pretrained), HEADS[head], num_classes, car, projection)
