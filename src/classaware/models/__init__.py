"""Networks: any timm backbone, a context head, CAR's tap, a classifier."""

from classaware.models.backbone import Backbone
from classaware.models.heads import FCNHead, Head, SelfAttentionHead
from classaware.models.projection import FoldedProjection, Projection
from classaware.models.segmenter import Segmenter, SegmenterOutput, create_segmenter

__all__ = [
    "Backbone",
    "FCNHead",
    "FoldedProjection",
    "Head",
    "Projection",
    "Segmenter",
    "SegmenterOutput",
    "SelfAttentionHead",
    "create_segmenter",
]
