"""Predictions of many classes at the size of large labels: the same, in bounded memory."""

import torch
from test_inference_memory import Largest

from classaware.evaluation import predict_labels, resize_logits
from classaware.evaluation.inference import _AT_ONCE

CLASSES, SIZE = 171, (1024, 2048)


def test_171_classes_at_1024_x_2048_need_a_part_of_their_size() -> None:
    logits = torch.randn(1, CLASSES, 33, 65, generator=torch.Generator().manual_seed(0)).bfloat16()
    with Largest() as largest:
        labels = predict_labels(logits, SIZE)
    whole = CLASSES * SIZE[0] * SIZE[1] * 4
    assert whole > 5 * _AT_ONCE
    assert largest.bytes <= SIZE[0] * SIZE[1] * 8  # the labels themselves
    rows = torch.arange(0, SIZE[0], 31)
    # Class by class: all at once is what must not be needed.
    expected = torch.stack([resize_logits(logits[:, k : k + 1], SIZE)[0, 0, rows] for k in range(CLASSES)])
    best, second = expected.topk(2, dim=0).values
    clear = best - second > 1e-5  # elsewhere rounding decides
    assert clear.float().mean() > 0.999
    assert torch.equal(labels[0, rows][clear], expected.argmax(0)[clear])
