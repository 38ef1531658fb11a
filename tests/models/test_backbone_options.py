"""Options of the timm wrapper, its training and its compilation."""

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from classaware.errors import InputError
from classaware.models import Backbone

SWIN = "swin_tiny_patch4_window7_224"
B0 = "tf_efficientnet_b0"


def test_fused_map_holds_every_map_at_the_finest_size():
    """At a size of 32 n + 1 the corners of all maps fall on one grid: every second, fourth, eighth pixel is theirs."""
    torch.manual_seed(0)
    backbone = Backbone("hrnet_w18_small").eval()
    with torch.no_grad():
        *maps, fused = backbone(torch.rand(2, 3, 65, 97))
    parts = fused.split(backbone.channels[:-1], 1)
    for step, (part, level) in enumerate(zip(parts, maps, strict=True)):
        step = 2**step
        torch.testing.assert_close(part[..., ::step, ::step], level)
        if step > 1:
            half = part[..., ::step, step // 2 :: step]
            torch.testing.assert_close(half, (level[..., :-1] + level[..., 1:]) / 2)


def test_fused_map_is_an_option_of_any_network():
    backbone = Backbone("test_resnet", 16, levels=3, fuse=True).eval()
    assert backbone.channels == [48, 192, 96, 336]
    assert backbone.strides == [8, 16, 16, 8]
    with torch.no_grad():
        assert backbone(torch.rand(1, 3, 50, 66))[-1].shape == (1, 336, 7, 9)
    assert Backbone("hrnet_w18_small", fuse=False).channels == [16, 32, 64, 128]


@pytest.mark.parametrize(("name", "default"), [(SWIN, True), ("convnext_atto", False)])
def test_level_norms(name, default):
    """At every position: mean 0, variance 1 over the channels, then weight and bias of the level."""
    assert bool(Backbone(name).level_norms) is default
    torch.manual_seed(0)
    backbone = Backbone(name, norm_levels=True).eval()
    images = torch.rand(1, 3, 70, 90)
    with torch.no_grad():
        for norm in backbone.level_norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        normed = backbone(images)
        norms, backbone.level_norms = backbone.level_norms, nn.ModuleList()
        plain = backbone(images)
    for a, b, norm in zip(normed, plain, norms, strict=True):
        centered = b - b.mean(1, keepdim=True)
        expected = centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()
        expected = expected * norm.weight.detach()[:, None, None] + norm.bias.detach()[:, None, None]
        torch.testing.assert_close(a, expected, rtol=1e-4, atol=1e-4)


def test_top_is_the_networks_own_last_convolution(tmp_path):
    """Equal to what timm's whole network hands to its classifier, with weights from a file."""
    torch.manual_seed(0)
    whole = timm.create_model(B0).eval()
    for layer in whole.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    backbone = Backbone(B0, 32, weights=tmp_path / "weights.pth", top=True).eval()
    assert backbone.channels == [24, 40, 112, 1280]
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(images)[-1], whole.forward_features((images - backbone.mean) / backbone.std)
        )


def test_top_of_efficientnet_b5():
    with torch.device("meta"):
        backbone = Backbone("tf_efficientnet_b5", 8, top=True)
    assert backbone.channels[-1] == 2048
    assert backbone(torch.empty(1, 3, 513, 513, device="meta"))[-1].shape == (1, 2048, 65, 65)


def test_top_asks_timm_for_its_weights_too(monkeypatch):
    asked = []
    create = timm.create_model

    def record(name, pretrained, **options):
        asked.append(pretrained)
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", record)
    Backbone(B0, 8, pretrained="timm", top=True)
    assert asked == [True, True]


@pytest.mark.parametrize(
    ("name", "stride", "factors", "dilations"),
    [
        ("resnet50", 8, (1, 2, 4), [4, 8, 16]),
        ("resnet50d", 16, (1, 2, 4), [2, 4, 8]),
        ("resnet101", 32, (1, 2, 4), [1, 2, 4]),
        ("resnet18", 8, (1, 2), [4, 4, 8, 8]),
    ],
)
def test_multi_grid_sets_the_dilations_of_the_last_stage(name, stride, factors, dilations):
    with torch.device("meta"):
        backbone, plain = Backbone(name, stride, multi_grid=factors), Backbone(name, stride)

    def spread(network, stage):
        convs = [m for m in network.network[stage].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert all(conv.padding == conv.dilation for conv in convs)
        return [conv.dilation for conv in convs]

    assert spread(backbone, "layer4") == [(d, d) for d in dilations]
    assert spread(backbone, "layer3") == spread(plain, "layer3")
    size = -(-513 // stride)
    assert backbone(torch.empty(1, 3, 513, 513, device="meta"))[-1].shape[-2:] == (size, size)


def test_multi_grid_reaches_further():
    """Which inputs of the last stage of ResNet-18 at output stride 8 one output depends on: 4+4+8+8 to each side."""
    torch.manual_seed(0)
    stage = Backbone("resnet18", 8, multi_grid=(1, 2)).eval().network["layer4"]
    for layer in stage.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)  # timm starts the last one of a block at zero
    x = torch.rand(1, 256, 53, 53, requires_grad=True)
    stage(x)[0, :, 26, 26].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero()
    assert (touched.min(), touched.max()) == (26 - 24, 26 + 24)


def test_drop_path_rises_to_the_rate():
    def rates(**options):
        layers = [m.drop_prob for m in Backbone(SWIN, **options).modules() if isinstance(m, DropPath)]
        return sorted(layers)

    assert rates()[-1] == pytest.approx(0.1)  # timm's own
    assert rates(drop_path=0.3)[-1] == pytest.approx(0.3)
    assert rates(drop_path=0.0) == []
    assert max(
        m.drop_prob for m in Backbone("convnext_atto", drop_path=0.2).modules() if isinstance(m, DropPath)
    ) == pytest.approx(0.2)


def test_batch_norms_take_eps_and_momentum():
    def settings(**options):
        backbone = Backbone("tf_efficientnet_lite0", 8, top=True, **options)
        return {(m.eps, m.momentum) for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)}

    assert settings() == {(1e-3, 0.1)}  # timm's own
    assert settings(norm_eps=1e-5) == {(1e-5, 0.1)}
    assert settings(norm_momentum=3e-4) == {(1e-3, 3e-4)}


TRAINED = [
    ("test_resnet", 8, {"fuse": True}),
    ("resnet50d", 8, {"multi_grid": (1, 2, 4)}),
    ("hrnet_w18_small", 32, {}),
    (SWIN, 32, {}),
    ("tf_efficientnet_lite0", 8, {"top": True, "drop_path": 0.1}),
    ("convnext_atto", 32, {"norm_levels": True}),
]


@pytest.mark.parametrize(("name", "stride", "options"), TRAINED)
def test_every_parameter_gets_a_gradient(name, stride, options):
    torch.manual_seed(0)
    backbone = Backbone(name, stride, **options)
    maps = backbone(torch.rand(2, 3, 65, 65))
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()
    for key, value in backbone.named_parameters():
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key


@pytest.mark.parametrize(("name", "stride", "options"), [t for t in TRAINED if not t[0].startswith(("swin", "conv"))])
def test_last_map_needs_every_parameter(name, stride, options):
    """So that data-parallel training of a head on the last map finds no parameter without a gradient."""
    backbone = Backbone(name, stride, **options)
    backbone(torch.rand(2, 3, 65, 65))[-1].sum().backward()
    assert not [key for key, value in backbone.named_parameters() if value.grad is None]


def test_level_norms_of_the_levels_asked_for_are_all_trained():
    backbone = Backbone(SWIN, levels=1)
    backbone(torch.rand(1, 3, 64, 64))[-1].square().sum().backward()
    assert len(backbone.level_norms) == 1
    assert not [key for key, value in backbone.named_parameters() if value.grad is None]


@pytest.mark.parametrize(("name", "stride", "options"), TRAINED)
def test_state_dict_and_memory_format(name, stride, options):
    torch.manual_seed(0)
    first = Backbone(name, stride, **options).eval()
    second = Backbone(name, stride, **options).eval()
    second.load_state_dict(first.state_dict())
    images = torch.rand(1, 3, 65, 97)
    with torch.no_grad():
        maps = first(images)
        again = second.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    for a, b in zip(maps, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


@pytest.mark.parametrize(("name", "stride", "options"), [("test_resnet", 8, {"fuse": True}), ("convnext_atto", 32, {})])
def test_compiles_as_one_graph(name, stride, options):
    torch.manual_seed(0)
    backbone = Backbone(name, stride, **options).eval()
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    images = torch.rand(1, 3, 65, 65)
    with torch.no_grad():
        for a, b in zip(compiled(images), backbone(images), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet18", "top": True}, "top=True: backbone 'resnet18' has no last 1x1"),
        ({"name": "mobilenetv3_small_050", "top": True}, "top=True: backbone 'mobilenetv3"),
        ({"name": "resnet18", "multi_grid": (1, 2, 4)}, "has 2 blocks; set network.backbone.multi_grid to 2 factors"),
        ({"name": "resnet18", "multi_grid": (0, 1)}, "to 2 factors of at least 1"),
        ({"name": "convnext_atto", "multi_grid": (1, 2)}, "'convnext_atto' is no ResNet"),
        ({"name": "hrnet_w18_small", "drop_path": 0.1}, "drop_path=0.1: backbone 'hrnet_w18_small' has no stochastic"),
        ({"name": "resnet18", "drop_path": 1.0}, "drop_path=1.0 must be"),
        ({"name": "resnet18", "drop_path": -0.1}, "drop_path=-0.1 must be"),
        ({"name": "resnet18", "norm_eps": 0.0}, "norm_eps=0.0 must be above 0"),
        ({"name": "resnet18", "norm_momentum": 0.0}, "norm_momentum=0.0"),
        ({"name": "resnet18", "norm_momentum": 1.5}, "norm_momentum=1.5"),
        ({"name": "hrnet_w18_small", "output_stride": 8}, "output_stride=8"),
    ],
)
def test_errors_name_the_thing(arguments, message):
    with pytest.raises(InputError, match=message):
        Backbone(**arguments)
