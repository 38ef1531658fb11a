"""A segmentation network: backbone, head, taps, projections, classifier."""

import copy
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.backbone import Backbone, Pretrained
from classaware.models.heads import HEADS, HeadFactory, HeadInputs
from classaware.models.layers import Initialization, conv_norm_act, initialize, own_draws, set_batch_norm
from classaware.models.neck import JPU
from classaware.models.projection import FoldedProjection, Projection, ProjectionKind


class SegmenterOutput(NamedTuple):
    """What a network returns.

    Attributes:
        logits: (B, K, h, w) at the features' resolution; see ``classaware.evaluation.resize_logits``.
        taps: one map (B, C, h, w) a branch of the head (two in DANet, one elsewhere): what CAR looks at.
        aux_logits: in training, maps (B, K, h', w') to be trained with a cross-entropy of their own.
        affinity: in training, CPNet's (B, N, N) logits of which positions of a grid share their class.
    """

    logits: Tensor
    taps: tuple[Tensor, ...]
    aux_logits: tuple[Tensor, ...] = ()
    affinity: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """All taps side by side, (B, sum of C, h, w): what the class-dependency map looks at."""
        return self.taps[0] if len(self.taps) == 1 else torch.cat(self.taps, 1)


class Segmenter(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to logits and tapped features. A network never sees labels.

    ``car`` and ``projection`` give the rows of the paper's Table 1: R1 off, 3x3; R2 off, 1x1; R5 on, 3x3; R8 on, 1x1;
    the rows between by weights of zero in the regularizer.

    Args:
        backbone: a :class:`Backbone`, which becomes part of this network: level norms that nobody reads are removed.
        head: makes the head for the backbone's maps, such as ``SelfAttentionHead`` or a partial of it.
        num_classes: K.
        car: ``on`` puts a 1x1 linear convolution in front of the projection, whose output CAR looks at.
            (YAML reads a bare ``on`` as true, so that is taken too.)
        projection: ``3x3`` is the head's own last convolution (3x3 in Self-Attention, 1x1 to half the width in FCN);
            ``1x1`` ("A" in the paper) is a 1x1 convolution of the tap's width in its place. (For FCN the authors'
            baseline with "A" drops the convolution; here it is replaced in every head alike, so that the folded
            network with CAR costs exactly what the baseline with "A" costs.)
        jpu: upsample the last three maps (strides 8, 16, 32) jointly to stride 8 in front of the head, for backbones
            that cannot be dilated.
        aux_channels: deep supervision: an FCN of that width on the second-last map (the last one in CAA) predicts too,
            in training; where the head has branches, each of them does in its place. 0: none.
        dropout: share of channels zeroed in front of the classifier in training (none in the authors' code).
        initialization: of all that is not the backbone: ``glorot`` as in the authors' code (with query and key equal in
            Self-Attention), or ``kaiming`` (all independent).
        identity: CAR's linear convolution begins as the identity, so that the network begins as its baseline; needs a
            head whose tap is as wide as its features. (Random in the authors' code.)
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
        jpu: bool = False,
        aux_channels: int = 0,
        dropout: float = 0.0,
        initialization: Initialization = "glorot",
        identity: bool = False,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        _check(num_classes, car, projection, aux_channels, dropout, initialization)
        self.num_classes = num_classes
        self.backbone = backbone
        channels, strides = list(backbone.channels), list(backbone.strides)
        self.neck = _create_jpu(channels, strides) if jpu else None
        if self.neck is not None:
            channels[-1], strides[-1] = self.neck.out_channels, strides[-3]
        with own_draws():
            self.head = head(HeadInputs(tuple(channels), tuple(strides), num_classes))
        self.projection_kind: ProjectionKind = projection
        width = self.head.tap_channels
        kernel_size, out_channels = self.head.projection if projection == "3x3" else (1, width)
        self.projections = nn.ModuleList()
        for _ in range(self.head.branches):
            with own_draws():
                self.projections.append(
                    Projection(self.head.channels, width, kernel_size, out_channels, car in ("on", True), identity)
                )
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        with torch.random.fork_rng(devices=[]):  # their sizes do not change what _set_up draws
            self.classifier = nn.Conv2d(out_channels, num_classes, 1)
            initialize(self.classifier)
            self.auxiliary = self._create_auxiliary(channels, aux_channels) if aux_channels else None
        if isinstance(backbone, Backbone):  # any module with channels and strides will do
            aux_reads = -self.head.aux_level if isinstance(self.auxiliary, nn.Sequential) else 1
            backbone.drop_norms(max(self.head.levels or len(channels), 3 if jpu else 1, aux_reads))
        self._set_up(initialization, norm_eps, norm_momentum)

    def _create_auxiliary(self, channels: list[int], width: int) -> nn.Module:
        """Deep supervision: a classifier a branch where there are several, else an FCN on one of the maps."""
        auxiliary: nn.Module
        if self.head.branches > 1:
            read, num_classes = self.classifier.in_channels, self.num_classes
            auxiliary = nn.ModuleList(nn.Conv2d(read, num_classes, 1) for _ in self.projections)
        elif len(channels) < -self.head.aux_level:
            raise InputError(
                f"aux_channels={width} reads feature map {self.head.aux_level}: raise network.backbone.levels."
            )
        else:
            fcn = conv_norm_act(channels[self.head.aux_level], width, 3)
            auxiliary = nn.Sequential(fcn, nn.Conv2d(width, self.num_classes, 1))
        initialize(auxiliary)
        return auxiliary

    def _set_up(self, initialization: Initialization, norm_eps: float, norm_momentum: float) -> None:
        """What all parts but the backbone have in common."""
        for name, part in self.named_children():
            if name == "backbone":
                continue
            if initialization != "glorot":  # the parts have that already, with their own exceptions
                self._initialize(part, initialization)
            set_batch_norm(part, norm_eps, norm_momentum)

    def _initialize(self, part: nn.Module, scheme: Initialization) -> None:
        with own_draws():
            for each in part if isinstance(part, nn.ModuleList) else [part]:
                each.initialize(scheme) if isinstance(each, Projection) else initialize(each, scheme)

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Logits and taps at the features' resolution; in training, what is to be trained beside them."""
        maps: list[Tensor] = self.backbone(images)
        if self.neck is not None:
            maps = [*maps[:-1], self.neck(maps[-3:])]
        output = self.head(maps)
        pairs = [project(x) for project, x in zip(self.projections, output.features, strict=True)]
        projected = [y for _, y in pairs]
        fused = projected[0] if len(projected) == 1 else torch.stack(projected).sum(0)
        logits, taps = self.classifier(self.dropout(fused)), tuple(tap for tap, _ in pairs)
        if not self.training:
            return SegmenterOutput(logits, taps)
        return SegmenterOutput(
            logits, taps, output.aux_logits + self._deep_supervision(maps, projected), output.affinity
        )

    def _deep_supervision(self, maps: list[Tensor], projected: list[Tensor]) -> tuple[Tensor, ...]:
        if self.auxiliary is None:
            return ()
        if isinstance(self.auxiliary, nn.ModuleList):
            return tuple(classify(y) for classify, y in zip(self.auxiliary, projected, strict=True))
        return (self.auxiliary(maps[self.head.aux_level]),)

    @property
    def uses_car(self) -> bool:
        """Whether there is the tap that CAR regularizes (none in a folded network)."""
        return any(isinstance(p, Projection) and p.linear is not None for p in self.projections)

    def fold(self) -> "Segmenter":
        """The inference network: linear convolution, projection and batch norm as one convolution.

        Equal to this network in eval mode up to the rounding of float32, with the parameters and operations of the
        baseline without CAR (plus one channel for the borders under a 3x3 projection). A copy; this one stays as it is.
        """
        folded = copy.deepcopy(self).eval()
        folded.projections = nn.ModuleList(
            FoldedProjection(p) if isinstance(p, Projection) else p for p in folded.projections
        )
        return folded


def _create_jpu(channels: list[int], strides: list[int]) -> JPU:
    if len(channels) < 3:
        raise InputError(f"jpu reads three feature maps: raise network.backbone.levels (now {len(channels)}).")
    if strides[-3:] != sorted(strides[-3:]):
        raise InputError(
            f"jpu reads three maps, fine to coarse, not strides {strides[-3:]}: set network.backbone.fuse to false."
        )
    return JPU(channels[-3:])


def _check(
    num_classes: int,
    car: str | bool,
    projection: str,
    aux_channels: int,
    dropout: float,
    initialization: str,
) -> None:
    """What would fail later, in the words of torch, or not at all."""
    if num_classes < 1:
        raise InputError(f"num_classes={num_classes}: there must be at least one class.")
    if car not in ("off", "on", True, False):
        raise InputError(f"car={car!r} is unknown; choose 'off' or 'on'.")
    if projection not in get_args(ProjectionKind):
        raise InputError(f"projection={projection!r} is unknown; choose '3x3' or '1x1'.")
    if aux_channels < 0:
        raise InputError(f"aux_channels={aux_channels}: give the width of the auxiliary FCN, or 0 for none.")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout}: must be in [0, 1).")
    if initialization not in get_args(Initialization):
        raise InputError(f"initialization={initialization!r} is unknown; choose 'glorot' or 'kaiming'.")


_NOT_DILATED = ("hrnet", "swin", "convnext")


def create_segmenter(
    backbone: str,
    head: str,
    num_classes: int,
    *,
    output_stride: Literal[8, 16, 32] | None = None,
    pretrained: Pretrained = "no",
    car: Literal["off", "on"] = "off",
    projection: ProjectionKind = "3x3",
) -> Segmenter:
    """A :class:`Segmenter` by names, with the paper's widths.

    Args:
        backbone: a timm model.
        head: one of ``HEADS``.
        num_classes: K.
        output_stride: of the backbone; None: the paper's, 8 for convolutional networks that can be dilated, else 32.
        pretrained: see :class:`Backbone`.
        car: see :class:`Segmenter`.
        projection: see :class:`Segmenter`.
    """
    if head not in HEADS:
        raise InputError(f"head {head!r} is unknown; choose one of {', '.join(HEADS)}.")
    if output_stride is None:
        output_stride = 32 if backbone.startswith(_NOT_DILATED) else 8
    return Segmenter(Backbone(backbone, output_stride, pretrained), HEADS[head], num_classes, car, projection)
