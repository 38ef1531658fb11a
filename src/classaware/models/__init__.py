"""Networks: any timm backbone, a context head, CAR's taps, a classifier."""

from classaware.models.backbone import Backbone
from classaware.models.foreign import ForeignNetwork
from classaware.models.heads import (
    HEADS,
    ACFNetHead,
    CAAHead,
    CCNetHead,
    CPNetHead,
    DANetHead,
    DeepLabV3Head,
    FCNHead,
    Head,
    HeadInputs,
    HeadOutput,
    OCRHead,
    SelfAttentionHead,
    UPerNetHead,
)
from classaware.models.network import Network
from classaware.models.projection import FoldedProjection, Projection
from classaware.models.segmenter import Segmenter, SegmenterOutput, create_segmenter

__all__ = [
    "HEADS",
    "ACFNetHead",
    "Backbone",
    "CAAHead",
    "CCNetHead",
    "CPNetHead",
    "DANetHead",
    "DeepLabV3Head",
    "FCNHead",
    "FoldedProjection",
    "ForeignNetwork",
    "Head",
    "HeadInputs",
    "HeadOutput",
    "Network",
    "OCRHead",
    "Projection",
    "Segmenter",
    "SegmenterOutput",
    "SelfAttentionHead",
    "UPerNetHead",
    "create_segmenter",
]
