"""``at="auto"`` on networks of the libraries that it knows; whole steps of training are in the examples' tests."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from classaware import attach

K = 11


def library(name: str) -> Any:
    if os.environ.get("CI") == "true":
        return import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed (pip install 'classaware[test]')")


SMP = {
    "Unet": (16, False),
    "UnetPlusPlus": (16, False),
    "MAnet": (16, False),
    "Linknet": (32, True),
    "FPN": (128, True),
    "PSPNet": (512, False),
    "PAN": (32, False),
    "DeepLabV3": (256, True),
    "DeepLabV3Plus": (256, True),
    "UPerNet": (256, True),
    "Segformer": (256, True),
}


def attached_to(network: nn.Module, layer: str, channels: int, biased: bool = True, classes: int = K) -> None:
    """CAR in front of that layer, and no name lost."""
    came = list(network.state_dict())
    handle = attach(network, num_classes=classes)
    assert handle.layer == layer
    linear = network.get_submodule(layer).classaware.linear
    assert linear.weight.shape[:2] == (channels, channels)
    assert (linear.bias is not None) == biased
    handle.fold()
    assert list(network.state_dict()) == came


@pytest.mark.parametrize("name", SMP)
@pytest.mark.parametrize("classes", [K, 64])
def test_segmentation_models_pytorch(name, classes):
    """Sixty-four outputs are what many layers of the encoder have, too."""
    smp = library("segmentation_models_pytorch")
    with torch.device("meta"):
        network = getattr(smp, name)("resnet18", encoder_weights=None, classes=classes)
    channels, biased = SMP[name]
    attached_to(network, "segmentation_head.0", channels, biased, classes)


def test_smp_dpt():
    smp = library("segmentation_models_pytorch")
    network = smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None, classes=K)
    attached_to(network, "segmentation_head.head.4", 256)


@pytest.mark.parametrize(
    ("name", "layer", "channels"),
    [
        ("deeplabv3_mobilenet_v3_large", "classifier.4", 256),
        ("fcn_resnet50", "classifier.4", 512),
        ("lraspp_mobilenet_v3_large", "classifier.high_classifier", 128),
    ],
)
def test_torchvision(name, layer, channels):
    factory = getattr(import_module("torchvision.models.segmentation"), name)
    options = {} if "lraspp" in name else {"aux_loss": True}
    attached_to(factory(weights=None, weights_backbone=None, num_classes=K, **options), layer, channels)


def test_transformers():
    transformers = library("transformers")
    segformer = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(num_labels=K))
    attached_to(segformer, "decode_head.classifier", 256)
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = transformers.UperNetConfig(
        num_labels=K, backbone_config=transformers.ResNetConfig(out_features=stages, layer_type="basic")
    )
    attached_to(transformers.UperNetForSemanticSegmentation(config), "decode_head.classifier", 512)
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, num_labels=K, image_size=64, patch_size=8,
        num_queries=5, num_blocks=2, num_upscale_blocks=1,
    )  # fmt: skip
    attached_to(transformers.EomtForUniversalSegmentation(config), "upscale_block.block.0.conv1", 32, False)


def test_another_number_of_classes_than_the_classifiers_is_named():
    """An encoder's layer may have just as many outputs as were given by mistake."""
    smp = library("segmentation_models_pytorch")
    network = smp.FPN("mobilenet_v2", encoder_weights=None, classes=21)
    with pytest.raises(ValueError, match=r"'segmentation_head.0' with outputs: 21, not 16"):
        attach(network, num_classes=16)


def test_networks_that_score_queries_are_attached_to_where_their_maps_are_read():
    pixels = nn.ModuleDict({"decoder": nn.ModuleDict({"mask_projection": nn.Conv2d(4, 8, 1)})})
    network = nn.ModuleDict({"pixel_level_module": pixels, "class_predictor": nn.Linear(8, K)})
    attached_to(network, "pixel_level_module.decoder.mask_projection", 4)


def test_inside_of_another_module():
    """As a LightningModule holds it."""
    network = nn.ModuleDict({"model": nn.ModuleDict({"decode_head": nn.ModuleDict({"conv_seg": nn.Conv2d(4, K, 1)})})})
    network["other"] = nn.Conv2d(4, K, 1)
    attached_to(network, "model.decode_head.conv_seg", 4)


def test_one_scoring_layer_is_the_classifier_and_two_are_named():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, K, 1))
    attached_to(network, "1", 4)
    network.append(nn.Conv2d(K, K, 1))
    with pytest.raises(ValueError, match=r"2 layers have 11 outputs.*at='2' \(others: 1\)"):
        attach(network, num_classes=K)
