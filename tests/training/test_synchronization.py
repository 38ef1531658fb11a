"""Synchronized batch norm is the same network, with timm's norms that are activations too."""

import pytest
import torch
from torch import nn

from classaware.models import create_segmenter
from classaware.training.synchronization import NormSync, SynchronizedNorm


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
    assert all(isinstance(layer, SynchronizedNorm) for layer in norms)
