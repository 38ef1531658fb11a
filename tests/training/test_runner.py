"""A network over batches: what is predicted, and what is left as it was."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from classaware.evaluation import evaluate, predictions
from classaware.models import Backbone, FCNHead, Segmenter


@pytest.fixture(scope="module")
def network() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Backbone("test_resnet"), lambda channels: FCNHead(channels, 8), 3)


def batches() -> list[dict[str, Any]]:
    """Images smaller than their labels, of two sizes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for size, full in (((32, 40), (40, 50)), ((48, 32), (48, 32))):
        labels = torch.randint(0, 3, (2, *full), generator=generator)
        labels[:, :5] = 7
        made.append({"image": torch.rand(2, 3, *size, generator=generator), "label": labels})
    return made


def test_predictions_are_those_of_eval_mode_at_the_labels_size(network: Segmenter) -> None:
    for batch, output, prediction in predictions(network, batches()):
        assert not output.logits.requires_grad
        assert prediction.shape == batch["label"].shape
        network.eval()
        with torch.no_grad():
            logits = network(batch["image"]).logits
        torch.testing.assert_close(output.logits, logits, rtol=0, atol=0)
        full = F.interpolate(logits, prediction.shape[1:], mode="bilinear", align_corners=True)
        assert torch.equal(prediction, full.argmax(1))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_comes_back_and_nothing_was_learned(network: Segmenter, training: bool) -> None:
    network.train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    evaluate(network, batches(), 7)
    assert network.training is training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    stopped = predictions(network, batches())
    next(stopped)
    stopped.close()
    assert network.training is training


def test_confusion_is_the_sum_over_pixels(network: Segmenter) -> None:
    expected = [[0] * 3 for _ in range(3)]
    for batch, _, prediction in predictions(network, batches()):
        for truth, guess in zip(batch["label"].flatten().tolist(), prediction.flatten().tolist(), strict=True):
            if truth != 7:
                expected[truth][guess] += 1
    assert evaluate(network, batches(), 7).tolist() == expected
