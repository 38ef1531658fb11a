"""Training: loss, optimizers, the Lightning task, checkpoints."""

from classaware.training.card import NetworkCard, load_network
from classaware.training.loss import cross_entropy
from classaware.training.task import SegmentationTask

__all__ = ["NetworkCard", "SegmentationTask", "cross_entropy", "load_network"]
