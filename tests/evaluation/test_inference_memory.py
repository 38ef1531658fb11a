"""No tensor grows with classes times pixels."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from classaware.evaluation.inference import Inference

CLASSES, HEIGHT, WIDTH = 150, 300, 450
WHOLE = CLASSES * HEIGHT * WIDTH * 4


class Largest(TorchDispatchMode):
    """Notes the bytes behind the largest tensor that an operation gave back."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.bytes = max(self.bytes, value.untyped_storage().nbytes())
        return result


def network(images: Tensor) -> Tensor:
    """Logits at a sixteenth of the resolution: how near a class's gray is to the pixel's."""
    small = images[:, :1, ::16, ::16]
    return -(small - torch.linspace(0, 1, CLASSES)[:, None, None]).square()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pad_size": (350, 350)},
        {"window": (81, 97)},
        {"window": (81, 97), "average": "probabilities"},
        {"window": (81, 97), "pad_size": (350, 50), "scales": (0.5, 1.5), "flip": True},
        {"scales": (0.5, 1.5), "flip": True, "average": "probabilities"},
        {"scales": (0.5, 1.5), "image_size": (150, 250)},
    ],
    ids=lambda arguments: " ".join(arguments) or "whole",
)
def test_the_largest_tensor_is_that_of_the_labels(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classaware.evaluation.inference._AT_ONCE", 2**20)
    monkeypatch.setattr("classaware.evaluation.score_map._CPU_BYTES", 2**20)
    images = torch.randint(0, 256, (1, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    with Largest() as largest:
        labels = Inference(**arguments).predict(network, images, (HEIGHT, WIDTH))
    assert labels.unique().numel() > 1
    # A float image at the largest scale, or a band of scores at it.
    assert largest.bytes <= max(3 * 4 * 2.3 * HEIGHT * WIDTH, 2.3 * 2**20)
    assert largest.bytes < WHOLE / 20
