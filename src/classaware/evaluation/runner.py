"""A network over a data loader."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from classaware.evaluation.confusion import confusion_matrix
from classaware.evaluation.inference import predict_labels
from classaware.models import Segmenter, SegmenterOutput


def predictions(
    network: Segmenter, batches: Iterable[dict[str, Any]], device: torch.device | str = "cpu"
) -> Iterator[tuple[dict[str, Any], SegmenterOutput, Tensor]]:
    """Each batch with the network's output and its prediction at the labels' size, int64 (B, H, W).

    Without gradients, in eval mode; the network is left in the mode and on the device where it was taken to.
    """
    network = network.to(device)
    was_training = network.training
    network.eval()
    try:
        for batch in batches:
            with torch.inference_mode():
                output = network(batch["image"].to(device))
                height, width = batch["label"].shape[-2:]
                prediction = predict_labels(output.logits, (height, width))
            yield batch, output, prediction
    finally:
        network.train(was_training)


def evaluate(
    network: Segmenter, batches: Iterable[dict[str, Any]], ignore_index: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Confusion matrix (K, K) int64 over all batches, rows = truth."""
    total = torch.zeros(network.num_classes, network.num_classes, dtype=torch.int64)
    for batch, _, prediction in predictions(network, batches, device):
        total += confusion_matrix(prediction.cpu(), batch["label"], network.num_classes, ignore_index)
    return total
