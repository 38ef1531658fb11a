"""Measuring a network: inference at full size, confusion matrix, scores."""

from classaware.evaluation.confusion import ConfusionMatrix, confusion_matrix
from classaware.evaluation.inference import Inference, predict_labels, resize_logits
from classaware.evaluation.iou import SegmentationScores, scores
from classaware.evaluation.runner import evaluate, predictions

__all__ = [
    "ConfusionMatrix",
    "Inference",
    "SegmentationScores",
    "confusion_matrix",
    "evaluate",
    "predict_labels",
    "predictions",
    "resize_logits",
    "scores",
]
