"""Measuring a network: inference at full size, confusion matrix, scores."""

from classaware.evaluation.confusion import ConfusionMatrix, SegmentationScores, confusion_matrix, scores
from classaware.evaluation.inference import predict_labels, resize_logits

__all__ = [
    "ConfusionMatrix",
    "SegmentationScores",
    "confusion_matrix",
    "predict_labels",
    "resize_logits",
    "scores",
]
