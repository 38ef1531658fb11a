"""What a subject sees of an image."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.insight.subject import Subject
from classaware.models import SegmenterOutput


class Net(nn.Module):
    """Features at a third of the size, logits at half of it."""

    num_classes = 2

    def forward(self, images: Tensor) -> SegmenterOutput:
        logits = F.avg_pool2d(images, 2)[:, :2]
        return SegmenterOutput(logits, (F.avg_pool2d(images, 3), F.avg_pool2d(images, 3)[:, :1]))


def subject(inference: Inference | None = None) -> Subject:
    return Subject("net", Net(), inference or Inference(), torch.device("cpu"))  # type: ignore[arg-type]


IMAGE = torch.randint(0, 256, (3, 12, 18), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_look_has_all_taps_and_logits_on_their_grid() -> None:
    look = subject().look(IMAGE)
    pooled = F.avg_pool2d(IMAGE.float() / 255, 3)
    assert torch.allclose(look.features_CHW, torch.cat([pooled, pooled[:1]]))
    logits = F.avg_pool2d(IMAGE.float() / 255, 2)[:2]
    expected = F.interpolate(logits[None], (4, 6), mode="bilinear", align_corners=True)[0]
    assert torch.allclose(look.logits_KHW, expected)


def test_a_look_is_at_the_size_of_the_inference() -> None:
    look = subject(Inference(image_size=(24, 30), window=(12, 12), pad_size=(40, 40))).look(IMAGE)
    assert look.features_CHW.shape == (4, 8, 10)
    assert look.logits_KHW.shape == (2, 8, 10)


def test_predictions_have_the_images_size() -> None:
    inference = Inference(image_size=(24, 30))
    expected = inference.predict(Net(), IMAGE[None], (12, 18))[0]
    assert torch.equal(subject(inference).predict(IMAGE), expected)


def test_bad_images_and_features_are_refused() -> None:
    with pytest.raises(InputError, match=r"torch.float32 \(3, 12, 18\)"):
        subject().look(IMAGE.float())

    class Broken(Net):
        def forward(self, images: Tensor) -> SegmenterOutput:
            return SegmenterOutput(images[:, :2], (images / 0,))

    broken = Subject("broken", Broken(), Inference(), torch.device("cpu"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'broken' makes features that are nan or infinite"):
        broken.look(IMAGE)


def test_a_class_that_is_masked_out_has_finite_logits() -> None:
    class Masked(Net):
        def forward(self, images: Tensor) -> SegmenterOutput:
            output = super().forward(images)
            output.logits[:, 0] = -torch.inf
            return output

    look = Subject("masked", Masked(), Inference(), torch.device("cpu")).look(IMAGE)  # type: ignore[arg-type]
    assert bool(torch.isfinite(look.logits_KHW).all())
    assert bool((look.logits_KHW.softmax(0)[0] == 0).all())
