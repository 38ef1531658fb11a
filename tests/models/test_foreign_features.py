"""Features of other people's transformers: tokens, and maps with the channels last."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm import create_model
from torch import Tensor, nn
from torchvision.models import swin_t

from classaware.errors import InputError
from classaware.models import ForeignNetwork
from classaware.models.foreign_features import find_grid, parse_place

PATCH = 4


class Vit(nn.Module):
    """Patches of 4 x 4, tokens of 6 channels behind some of no place, logits of 3 classes."""

    def __init__(self, prefix: int = 0, batch_second: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, PATCH, PATCH)
        self.first = nn.Parameter(torch.full((1, prefix, 6), 9.0))
        self.block = nn.Identity()
        self.classify = nn.Linear(6, 3)
        self.batch_second = batch_second

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patches(images)
        tokens = torch.cat((self.first.expand(len(images), -1, -1), maps.flatten(2).transpose(1, 2)), 1)
        tokens = self.block(tokens.transpose(0, 1) if self.batch_second else tokens)
        tokens = tokens.transpose(0, 1) if self.batch_second else tokens
        return self.classify(tokens)[:, self.first.shape[1] :].transpose(1, 2).unflatten(2, maps.shape[2:])


@pytest.mark.parametrize("prefix", [0, 1, 5, 8])
@pytest.mark.parametrize("size", [(32, 32), (24, 60), (48, 36)])
def test_tokens_are_maps_without_the_first_ones(prefix: int, size: tuple[int, int]) -> None:
    network, images = Vit(prefix), torch.rand(2, 3, *size)
    expected = network.patches(images)
    for layer in ("block", "classify:input", f"block+{prefix}", f"classify:input+{prefix}"):
        output = ForeignNetwork(network, layer, 3)(images)
        assert torch.equal(output.features, expected)
    assert torch.equal(ForeignNetwork(network, "classify", 3)(images).features, network(images))


def test_first_tokens_are_said_where_they_cannot_be_found() -> None:
    images = torch.rand(1, 3, 54, 58)  # 13 x 14 patches, behind more tokens than are looked for
    network = Vit(100)
    with pytest.raises(InputError, match=r"'block' gives shape \(1, 282, 6\).*54 x 58: say behind .* such as \+1"):
        ForeignNetwork(network, "block", 3)(images)
    assert torch.equal(ForeignNetwork(network, "block+100", 3)(images).features, network.patches(images))
    with pytest.raises(InputError, match=r"correct \+99"):
        ForeignNetwork(network, "block+99", 3)(images)
    with pytest.raises(InputError, match=r"correct \+500"):
        ForeignNetwork(network, "block+500", 3)(images)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 8), st.integers(1, 32))
def test_a_grid_that_is_found_is_no_guess(rows: int, columns: int, prefix: int, patch: int) -> None:
    size = (rows * patch, columns * patch)
    found = find_grid(rows * columns + prefix, size)
    every = [
        (first, (h, (rows * columns + prefix - first) // h))
        for first in range(9)
        for h in range(1, rows * columns + prefix - first + 1)
        if (rows * columns + prefix - first) % h == 0
        and abs(h * columns - (rows * columns + prefix - first) // h * rows) < max(rows, columns)
    ]
    assert (prefix, (rows, columns)) in every
    if found is None:
        assert len({first for first, _ in every}) > 1
    elif found != (prefix, (rows, columns)):
        assert found in every
        assert found[1][0] * columns == found[1][1] * rows  # exact as well
        assert found[0] < prefix
    if prefix == 0:
        assert found == (0, (rows, columns))


def test_a_vision_transformer_of_timm() -> None:
    vit = create_model("vit_tiny_patch16_224", img_size=(64, 96), num_classes=0).eval()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit = vit

        def forward(self, images: Tensor) -> Any:
            return vit.forward_intermediates(images, indices=1, intermediates_only=True)[0][:, :3]

    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        features = ForeignNetwork(Net(), "vit.blocks.11", 3)(images).features
        expected = vit.forward_intermediates(images, indices=1, norm=False, intermediates_only=True)[0]
    assert features.shape == (2, 192, 4, 6)
    torch.testing.assert_close(features, expected)


def test_channels_last_of_linear_and_norm_layers() -> None:
    swin = swin_t(weights=None).eval()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = swin.features
            self.norm = swin.norm
            self.classify = nn.Linear(768, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.classify(self.norm(self.body(images))).permute(0, 3, 1, 2)

    network, images = Net(), torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = network.norm(network.body(images)).permute(0, 3, 1, 2)
        for layer in ("norm", "classify:input"):
            assert torch.equal(ForeignNetwork(network, layer, 3)(images).features, expected)
        assert torch.equal(ForeignNetwork(network, "classify", 3)(images).features, network(images))
        with pytest.raises(InputError, match=r"'norm\+1' gives maps, not tokens: leave \+1 out"):
            ForeignNetwork(network, "norm+1", 3)(images)


def test_windows_are_no_images() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            windows = images.unfold(2, 32, 32).unfold(3, 32, 32).flatten(2, 3).transpose(1, 2).flatten(0, 1)
            return images + self.inside(windows).mean()

    with pytest.raises(InputError, match=r"gives shape \(6, 3, 32, 32\) for 1 images"):
        ForeignNetwork(Net(), "inside", 3)(torch.rand(1, 3, 64, 96))


def test_tokens_before_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"gives shape \(64, 2, 6\) for 2 images"):
        ForeignNetwork(Vit(batch_second=True), "block", 3)(torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize("text", ["block+", "block+-1", "block+1.5", "block+x", "block:input+", "block+1:input"])
def test_a_number_of_tokens_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="behind the plus stands how many"):
        parse_place(text)


def test_without_a_layer_there_are_no_features() -> None:
    network, images = Vit(), torch.rand(2, 3, 16, 16)
    output = ForeignNetwork(network, None, 3)(images)
    assert torch.equal(output.logits, network(images))
    assert output.taps == ()


def test_an_error_of_the_network_is_kept() -> None:
    network = Vit()
    network.classify = nn.Linear(7, 3)
    for layer in ("block", None):
        with pytest.raises(
            InputError, match=r"'my:net' fails on images of shape \(2, 3, 16, 16\): RuntimeError: .*mat1"
        ) as caught:
            ForeignNetwork(network, layer, 3, "my:net")(torch.rand(2, 3, 16, 16))
        assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(InputError, match="'Vit' fails"):
        ForeignNetwork(network, None, 3)(torch.rand(2, 3, 16, 16))
    assert not network.block._forward_hooks


def test_full_memory_is_not_the_networks_fault() -> None:
    class Net(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        ForeignNetwork(Net(), None, 3)(torch.rand(2, 3, 16, 16))
