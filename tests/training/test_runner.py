"""A network over batches: what is predicted, what is counted, and what is left as it was."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from classaware.errors import InputError
from classaware.evaluation.boundary import boundary_counts
from classaware.evaluation.inference import Inference
from classaware.evaluation.runner import evaluate, predictions
from classaware.models import Backbone, FCNHead, Segmenter


@pytest.fixture(scope="module")
def network() -> Segmenter:
    torch.manual_seed(0)
    network = Segmenter(Backbone("test_resnet"), lambda channels: FCNHead(channels, 8), 3).eval()
    with torch.no_grad():  # so that every class is predicted somewhere
        std, mean = torch.std_mean(network(torch.rand(2, 3, 48, 32)).logits, (0, 2, 3))
        network.classifier.weight /= std[:, None, None, None]
        network.classifier.bias.copy_((network.classifier.bias - mean) / std)
    return network


def batches() -> list[dict[str, Any]]:
    """Images smaller than their labels, of two sizes; one of bytes, one of floats."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for size, full in (((32, 40), (40, 50)), ((48, 32), (48, 32))):
        labels = torch.randint(0, 3, (2, *full), generator=generator)
        labels[:, :5] = 7
        image = torch.randint(0, 256, (2, 3, *size), generator=generator, dtype=torch.uint8)
        names = [f"{size[0]}-{i}" for i in (1, 0)]
        made.append({"image": image.float() / 255 if made else image, "label": labels, "name": names})
    return made


def test_predictions_are_those_of_eval_mode_at_the_labels_size(network: Segmenter) -> None:
    for batch, output, prediction in predictions(network, batches()):
        assert not output.logits.requires_grad
        assert prediction.shape == batch["label"].shape
        network.eval()
        images = batch["image"] if batch["image"].is_floating_point() else batch["image"].float() / 255
        with torch.no_grad():
            logits = network(images).logits
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


def test_counts_are_sums_over_pixels(network: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [[0] * 3 for _ in range(3)]
    edges = torch.zeros(3, 3, dtype=torch.int64)
    images: dict[str, list[list[int]]] = {}
    for batch, _, prediction in predictions(network, batches()):
        for name, label, guess in zip(batch["name"], batch["label"], prediction, strict=True):
            counts = images.setdefault(name, [[0, 0, 0] for _ in range(3)])
            for truth, found in zip(label.flatten().tolist(), guess.flatten().tolist(), strict=True):
                if truth != 7:
                    expected[truth][found] += 1
                    counts[truth][0 if truth == found else 2] += 1
                    counts[found][1] += truth != found
            edges += boundary_counts(guess, label, 3, 7)
    monkeypatch.setattr("classaware.evaluation.runner._PIXELS_AT_ONCE", 150)
    result = evaluate(network, batches(), 7)
    assert result.confusion.tolist() == expected
    assert result.confusion.all()
    assert result.boundary is not None
    assert torch.equal(result.boundary, edges)
    assert result.ignored == 2 * 5 * (50 + 32)
    assert list(result.per_image) == sorted(images)
    assert {name: counts.tolist() for name, counts in result.per_image.items()} == images


def test_the_way_of_inference_is_followed(network: Segmenter) -> None:
    way = Inference(window=(32, 32), flip=True)
    network.eval()
    result = evaluate(network, batches(), 7, way, boundary=False)
    assert result.boundary is None
    wrong = 0
    for batch in batches():
        size = (batch["label"].shape[1], batch["label"].shape[2])
        prediction = way.predict(network, batch["image"], size)
        wrong += int(((prediction != batch["label"]) & (batch["label"] != 7)).sum())
    assert int(result.confusion.sum() - result.confusion.diagonal().sum()) == wrong
    assert not torch.equal(result.confusion, evaluate(network, batches(), 7).confusion)


def test_an_image_that_comes_twice_is_named(network: Segmenter) -> None:
    with pytest.raises(InputError, match="'32-1' comes twice"):
        evaluate(network, [*batches(), batches()[0]], 7)
