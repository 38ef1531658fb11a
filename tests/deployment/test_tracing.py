"""Every head traced with free sizes, and the layers that stand in for timm's while it is done."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import AvgPool2dSame, Conv2dSame
from torch import nn

from classaware.deployment import onnx_format
from classaware.deployment.free_sizes import replace_layers
from classaware.deployment.tracing import TRACES_FREE_SIZES, trace
from classaware.errors import InputError
from classaware.evaluation import resize_logits
from classaware.models import HEADS, Backbone, DANetHead, OCRHead, Segmenter, UPerNetHead

pytestmark = pytest.mark.skipif(not TRACES_FREE_SIZES, reason="exporting for any size needs torch 2.13 or newer")

SUBJECTS = {name: (head, "test_resnet", 8) for name, head in HEADS.items()} | {
    "upernet": (UPerNetHead, "test_efficientnet", 32),
    "upernet as released": (partial(UPerNetHead, as_released=True), "test_efficientnet", 32),
    "danet as released": (partial(DANetHead, as_released=True), "test_resnet", 8),
    "ocr as released": (partial(OCRHead, as_released=True), "test_resnet", 8),
    "padded": (HEADS["fcn"], "convnext_atto", 32),
}


def build(name: str) -> Segmenter:
    torch.manual_seed(0)
    head, backbone, output_stride = SUBJECTS[name]
    options = {"channels": 8} | ({"grid": 6} if name == "cpnet" else {})
    network = Segmenter(Backbone(backbone, output_stride), partial(head, **options), 4, "on", "3x3")
    for parameter in network.parameters():
        if parameter.ndim == 1 and not parameter.any():
            nn.init.uniform_(parameter, 0.3, 0.7)
    with torch.no_grad():
        for _ in range(2):
            network.train()(torch.rand(2, 3, 65, 65))
    return network.eval()


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_size_of_every_head(name: str) -> None:
    """From the smallest; one image and several."""
    network = build(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    program = trace(network, None, full_size=True).module()
    for shape in ((1, 3, 33, 33), (1, 3, 64, 96), (3, 3, 90, 49)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            wanted = resize_logits(network(images).logits, shape[-2:])
            logits = program(images)
        assert logits.shape == (shape[0], 4, *shape[-2:])
        torch.testing.assert_close(logits, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["ccnet", "upernet"])
def test_onnx_of_what_exporters_get_wrong(name: str) -> None:
    """Sums over rows and columns, pooling to a fixed grid."""
    pytest.importorskip("onnxruntime")
    network = build(name)
    model = onnx_format.convert(trace(network, None, full_size=True))
    run = onnx_format.read(onnx_format.write(model, {"output": {"at": "image size"}}))[1]
    for shape in ((1, 3, 33, 33), (2, 3, 90, 49)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            wanted = resize_logits(network(images).logits, shape[-2:])
        torch.testing.assert_close(run(images), wanted, rtol=0, atol=5e-5 * float(wanted.abs().max()))


def test_logits_at_the_features_size_and_sizes_that_are_not_free() -> None:
    network = build("fcn")
    images = torch.rand(2, 3, 50, 77)
    with torch.no_grad():
        wanted = network(images).logits
        torch.testing.assert_close(trace(network, None, False).module()(images), wanted, rtol=1e-4, atol=1e-4)
        fixed = trace(network, (50, 77), False).module()
        torch.testing.assert_close(fixed(images), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fixed(images[:1]), wanted[:1], rtol=1e-4, atol=1e-4)
        with pytest.raises(AssertionError, match="Guard failed"):
            fixed(torch.rand(2, 3, 51, 77))


def test_swin_is_for_one_size_and_says_so() -> None:
    network = Segmenter(Backbone("swin_tiny_patch4_window7_224", levels=1), partial(HEADS["fcn"], channels=8), 4)
    with pytest.raises(InputError, match=r"swin_tiny.*any size.*--size \[HEIGHT,WIDTH\]"):
        trace(network.eval(), None, True)


def test_a_network_that_cannot_be_traced_is_named() -> None:
    network = build("fcn")
    network.head.down.append(Asks())
    with pytest.raises(InputError, match=r"test_resnet cannot be exported for images of any size .*--size"):
        trace(network, None, True)
    assert trace(network, (64, 96), True) is not None


class Asks(nn.Module):
    """Treats even heights unlike odd ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.shape[-2] % 2 else x


LAYERS = {
    "average, ceil": nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
    "average of 3, ceil": nn.AvgPool2d(3, 3, ceil_mode=True, count_include_pad=False),
    "average, same": AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False),
    "average, same, strided": AvgPool2dSame(3, 2),
    "convolution": Conv2dSame(2, 3, 3, 2),
    "convolution, dilated": Conv2dSame(2, 3, (5, 3), 2, dilation=2),
    "convolution, 1x1": Conv2dSame(2, 3, 1, 2),
}


@settings(max_examples=25)
@given(height=st.integers(1, 20), width=st.integers(1, 20))
@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_place_of_timms_compute_the_same(name: str, height: int, width: int) -> None:
    torch.manual_seed(height * 100 + width)
    layers = nn.Sequential(LAYERS[name])
    x = torch.randn(2, 2, height, width)
    with torch.no_grad():
        wanted = layers(x)
        replace_layers(layers)
        found = layers(x)
    assert type(layers[0]) is not type(LAYERS[name])
    if name == "average of 3, ceil":
        torch.testing.assert_close(found, wanted)
    else:
        assert torch.equal(found, wanted)


def test_other_pools_stay() -> None:
    pools = [nn.AvgPool2d(2), nn.AvgPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, padding=1, ceil_mode=True)]
    layers = nn.Sequential(*pools, AvgPool2dSame(2, 3), Conv2dSame(1, 1, (3, 2), 3))
    pools = list(layers)
    replace_layers(layers)
    assert list(layers) == pools
