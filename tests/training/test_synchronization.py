"""Synchronized batch norm is the same network, with timm's norms that are activations too."""

from functools import partial

import pytest
import torch
from torch import nn

from classaware.models import HEADS, Backbone, Segmenter, create_segmenter
from classaware.training.synchronization import NormSync


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "test_resnet"])
def test_conversion_changes_nothing_in_eval_mode(name: str) -> None:
    torch.manual_seed(0)
    network = create_segmenter(name, "fcn", 3, output_stride=32).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images).logits
        keys = list(network.state_dict())
        converted = NormSync().apply(network)
        torch.testing.assert_close(converted(images).logits, before)
    assert list(converted.state_dict()) == keys
    norms = [layer for layer in converted.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in norms)


def test_norms_of_maps_that_nobody_reads_are_left_out() -> None:
    """They would have no gradient, which a distributed run takes for an error."""
    cases = [("fcn", {}, 1), ("upernet", {}, 4), ("fcn", {"aux_channels": 8}, 2), ("caa", {"aux_channels": 8}, 1)]
    cases += [("danet", {"aux_channels": 8}, 1), ("fcn", {"jpu": True}, 3)]
    for head, options, norms in cases:
        network = Segmenter(Backbone("convnext_atto", norm_levels=True), partial(HEADS[head], channels=8), 3, **options)
        assert sum(isinstance(layer, nn.LayerNorm) for layer in network.backbone.level_norms) == norms
        output = network(torch.rand(2, 3, 64, 64))
        sum(x.sum() for x in (output.logits, *output.aux_logits)).backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_bad_images_are_named() -> None:
    backbone = Backbone("test_resnet")
    for images in (torch.rand(2, 1, 64, 64), torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.rand(3, 64, 64)):
        with pytest.raises(ValueError, match=r"floating \(B, 3, H, W\)"):
            backbone(images)
    with pytest.raises(ValueError, match="pretrained=True"):
        Backbone("test_resnet", pretrained=True)  # type: ignore[arg-type]
