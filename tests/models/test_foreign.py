"""Other people's networks as ours."""

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from classaware.errors import InputError
from classaware.models import ForeignNetwork
from classaware.models.foreign import find_logits


class Net(nn.Module):
    """Features of 6 channels at half the size, logits of 4 classes."""

    def __init__(self, wrap: Any = lambda logits: logits) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        self.classify = nn.Conv2d(6, 4, 1)
        self.unused = nn.Conv2d(6, 4, 1)
        self.wrap = wrap

    def forward(self, images: Tensor) -> Any:
        return self.wrap(self.classify(self.body(images)))


IMAGES = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: logits,
        lambda logits: OrderedDict(out=logits, aux=logits[:, :1]),
        lambda logits: {"loss": torch.zeros(()), "logits": logits},
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: (logits, logits[:, :1]),
        lambda logits: [{"out": logits}],
    ],
)
def test_logits_are_found_wherever_libraries_put_them(wrap: Any) -> None:
    network = Net(wrap)
    output = ForeignNetwork(network, "body", 4)(IMAGES)
    features = network.body(IMAGES)
    assert torch.equal(output.features, features)
    assert torch.equal(output.logits, network.classify(features))


def test_features_are_a_layers_output_or_input() -> None:
    network = Net()
    features = network.body(IMAGES)
    assert torch.equal(ForeignNetwork(network, "classify:input", 4)(IMAGES).features, features)
    assert torch.equal(ForeignNetwork(network, "classify", 4)(IMAGES).features, network.classify(features))
    assert torch.equal(ForeignNetwork(network, "body.0", 4)(IMAGES).features, network.body[0](IMAGES))


def test_nothing_is_left_behind_in_the_network() -> None:
    network = Net()
    wrapped = ForeignNetwork(network, "body", 4)
    wrapped(IMAGES)
    assert not any(module._forward_hooks for module in network.modules())
    assert wrapped.state_dict().keys() == {f"network.{name}" for name in network.state_dict()}
    assert wrapped.fold() is wrapped


def test_a_network_of_torchvision() -> None:
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5).eval()
    with torch.no_grad():
        output = ForeignNetwork(network, "classifier.cbr", 5)(torch.rand(1, 3, 64, 48))
    assert output.logits.shape == (1, 5, 64, 48)
    assert output.features.shape == (1, 128, 4, 3)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("bodi", r"no layer 'bodi'.*body"),
        ("", "no layer ''"),
        ("body:output", "only 'input'"),
        ("unused", "'unused' did not run"),
    ],
)
def test_a_layer_that_cannot_be_taken(layer: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ForeignNetwork(Net(), layer, 4)(IMAGES)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match=r"\(2, 4, 4, 5\).*5 classes"):
        ForeignNetwork(Net(), "body", 5)(IMAGES)
    with pytest.raises(InputError, match="NoneType, in which no logits"):
        ForeignNetwork(Net(lambda logits: None), "body", 4)(IMAGES)
    network = Net()
    network.body.append(nn.Flatten(2))
    network.classify = nn.Sequential(nn.Unflatten(2, (4, 5)), network.classify)  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"'body' gives shape \(2, 6, 20\)"):
        ForeignNetwork(network, "body", 4)(IMAGES)
    with pytest.raises(InputError, match="no logits"):
        find_logits(())


def test_a_layer_that_is_overwritten_later_keeps_its_values() -> None:
    network = Net()
    network.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True))
    expected = network.body[0](IMAGES)
    assert bool((expected < 0).any())
    assert torch.equal(ForeignNetwork(network, "body.0", 4)(IMAGES).features, expected)
    assert torch.equal(ForeignNetwork(network, "body.1:input", 4)(IMAGES).features, expected)


def test_the_input_of_a_layer_that_is_called_by_keyword() -> None:
    class ByKeyword(Net):
        def forward(self, images: Tensor) -> Any:
            return self.classify(input=self.body(images))

    network = ByKeyword()
    assert torch.equal(ForeignNetwork(network, "classify:input", 4)(IMAGES).features, network.body(IMAGES))


def test_a_shared_module_has_all_its_names() -> None:
    network = Net()
    network.again = network.body
    assert torch.equal(ForeignNetwork(network, "again", 4)(IMAGES).features, network.body(IMAGES))
