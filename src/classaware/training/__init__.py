"""Training: losses, optimizers, the Lightning task, checkpoints."""

from classaware.training.affinity import affinity_loss
from classaware.training.card import NetworkCard, load_network
from classaware.training.loss import cross_entropy
from classaware.training.objective import Objective
from classaware.training.task import SegmentationTask

__all__ = ["NetworkCard", "Objective", "SegmentationTask", "affinity_loss", "cross_entropy", "load_network"]
