"""Networks: shapes, published parameter counts, folding, state dicts."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from classaware.errors import InputError
from classaware.models import (
    HEADS,
    Backbone,
    FCNHead,
    FoldedProjection,
    HeadInputs,
    OCRHead,
    Segmenter,
    SelfAttentionHead,
    UPerNetHead,
    create_segmenter,
)

# Every head is covered by test_every_head.py; these two differ in their projection.
SOME = ("fcn", "self-attention")
VARIANTS = [(head, car, projection) for head in SOME for car in ("off", "on") for projection in ("3x3", "1x1")]


def small(head: str, car: str, projection: str, channels: int = 24) -> Segmenter:
    return Segmenter(Backbone("resnet18", 8), partial(HEADS[head], channels=channels), 7, car, projection)


def trained(head: str, car: str, projection: str) -> Segmenter:
    """A network whose norms have statistics and whose biases are not zero."""
    torch.manual_seed(0)
    network = small(head, car, projection)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") and not name.startswith("backbone"):
                parameter.normal_()
        network(torch.rand(4, 3, 65, 65))
    return network.eval()


def logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images).logits


@pytest.mark.parametrize(("head", "car", "projection"), VARIANTS)
def test_any_size_gives_finite_logits_and_every_parameter_a_gradient(head, car, projection):
    network = small(head, car, projection)
    output = network(torch.rand(2, 3, 77, 50))
    assert output.logits.shape == (2, 7, 10, 7)
    assert output.features.shape == (2, 24, 10, 7)
    (output.logits.square().mean() + output.features.mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_tap_is_linear_with_car_and_not_without():
    """With CAR the tap is a convolution's output and takes either sign; without, it follows a ReLU in FCN."""
    images = torch.rand(1, 3, 65, 65)
    assert small("fcn", "on", "1x1").eval()(images).features.min() < 0
    assert small("fcn", "off", "1x1").eval()(images).features.min() >= 0


# Trainable parameters of all but the backbone for ResNet-50 (OCR: HRNet-W48, UPerNet: Swin-T) and 59 classes, of the
# authors' networks.
PUBLISHED = {
    ("fcn", "off", "3x3"): 9_584_955,
    ("fcn", "on", "1x1"): 9_994_299,
    ("deeplabv3", "off", "3x3"): 15_550_267,
    ("deeplabv3", "on", "1x1"): 15_616_059,
    ("self-attention", "off", "3x3"): 12_157_115,
    ("self-attention", "on", "1x1"): 10_322_619,
    ("self-attention", "off", "1x1"): 10_059_963,
    ("self-attention", "on", "3x3"): 12_419_771,
    ("ccnet", "off", "3x3"): 23_954_620,
    ("ccnet", "on", "1x1"): 13_731_516,
    ("danet", "off", "3x3"): 23_955_645,
    ("danet", "on", "1x1"): 20_286_653,
    ("cpnet", "off", "3x3"): 26_282_555,
    ("cpnet", "on", "1x1"): 13_962_299,
    ("ocr", "off", "3x3"): 9_010_950,
    ("ocr", "on", "1x1"): 9_273_606,
    ("upernet", "off", "3x3"): 44_033_595,
    ("upernet", "on", "1x1"): 35_907_643,
}
# The same of networks whose size in the authors' code is not recorded.
OURS = {
    ("acfnet", "off", "3x3"): 10_550_390,
    ("acfnet", "on", "1x1"): 10_813_046,
    ("caa", "off", "3x3"): 11_751_995,
    ("caa", "on", "1x1"): 11_817_787,
}
BACKBONES = {"ocr": ("hrnet_w48", 32), "upernet": ("swin_tiny_patch4_window7_224", 32)}
AS_RELEASED = {"ocr": partial(OCRHead, as_released=True), "upernet": partial(UPerNetHead, as_released=True)}
# What the published method has more than the authors' code: OCR's keys and values read 512 channels in place of 59
# classes (two convolutions to 256); UPerNet's four pooled maps of 768 channels go through 1x1 in place of 3x3 to 512.
CORRECTIONS = {"ocr": 2 * 256 * (512 - 59), "upernet": -4 * 8 * 768 * 512}


def own_parameters(head, factory, car: str, projection: str) -> int:
    with torch.device("meta"):
        network = Segmenter(Backbone(*BACKBONES.get(head, ("resnet50", 8))), factory, 59, car, projection)
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith("backbone."))


@pytest.mark.parametrize(
    ("variant", "expected"), PUBLISHED.items(), ids=lambda v: "-".join(v) if isinstance(v, tuple) else ""
)
def test_parameters_equal_the_authors_networks(variant, expected):
    head, car, projection = variant
    assert own_parameters(head, AS_RELEASED.get(head, HEADS[head]), car, projection) == expected
    corrected = own_parameters(head, HEADS[head], car, projection)
    assert corrected == expected + CORRECTIONS.get(head, 0)


def test_documented_parameters_are_these():
    """Every number of the table in docs/networks.md, row by row."""
    document = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    table = document.split("## Parameters")[1].split("##")[0]
    found = [int(cell.replace(",", "")) for cell in re.findall(r"(?<=\| )[\d,]{7,}(?= \|)", table)]
    expected: list[int] = []
    for head in dict.fromkeys(head for head, _, _ in (*PUBLISHED, *OURS)):
        variants = [v for v in (*PUBLISHED, *OURS) if v[0] == head]
        for variant in sorted(variants, key=lambda v: (v[1] == "on", v[2] == "1x1")):
            authors = PUBLISHED.get(variant)
            ours = own_parameters(head, HEADS[head], *variant[1:])
            released = [authors] if head in ("danet", "ocr", "upernet") else []
            expected += ([] if authors is None else [authors]) + [ours] + released
    assert found == expected


def test_attention_equals_plain_loops():
    """softmax(q . k) over all positions without a scale, weighted values, added to the input."""
    torch.manual_seed(0)
    head = SelfAttentionHead(HeadInputs((3,), (8,), 5), channels=4, key_channels=2).double().eval()
    x = torch.randn(1, 3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        down = head.down(x)[0].flatten(1).T
        layers = (head.attention.query, head.attention.key, head.attention.value)
        q, k, v = ((down @ c.weight.flatten(1).T + c.bias) for c in layers)
        rows = []
        for i in range(6):
            weights = [torch.exp(sum(q[i, d] * k[j, d] for d in range(2))) for j in range(6)]
            context = sum(w * v[j] for j, w in enumerate(weights)) / sum(weights)
            rows.append(down[i] + context)
        expected = torch.stack(rows).T.reshape(1, 4, 2, 3)
        torch.testing.assert_close(head([x]).features[0], expected)


def test_query_and_key_start_equal_but_are_two():
    attention = SelfAttentionHead(HeadInputs((8,), (8,), 5), channels=16, key_channels=4).attention
    assert torch.equal(attention.query.weight, attention.key.weight)
    assert attention.query.weight.data_ptr() != attention.key.weight.data_ptr()


@pytest.mark.parametrize(("head", "car", "projection"), VARIANTS)
@pytest.mark.parametrize("size", [(65, 65), (41, 58), (9, 9)])
def test_folded_equals_unfolded_borders_included(head, car, projection, size):
    network = trained(head, car, projection)
    images = torch.rand(2, 3, *size)
    torch.testing.assert_close(logits(network.fold(), images), logits(network, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", SOME)
def test_folded_network_with_car_costs_what_the_baseline_with_a_costs(head):
    with_car, baseline = trained(head, "on", "1x1").fold(), trained(head, "off", "1x1").fold()
    images = torch.rand(1, 3, 65, 65)
    costs = []
    for network in (with_car, baseline):
        with FlopCounterMode(display=False) as counter:
            logits(network, images)
        costs.append((counter.get_total_flops(), sum(p.numel() for p in network.parameters())))
    assert costs[0] == costs[1]


def test_fold_leaves_the_network_and_its_mode_alone():
    network = trained("fcn", "on", "1x1").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = network.fold()
    assert isinstance(folded.projections[0], FoldedProjection)
    assert network.training
    assert not folded.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(folded.fold().projections[0], FoldedProjection)


@pytest.mark.parametrize(("head", "car", "projection"), VARIANTS)
def test_training_state_loads_into_the_folded_network_and_back(head, car, projection):
    network, images = trained(head, car, projection), torch.rand(2, 3, 41, 58)
    inference = small(head, car, projection).fold()
    inference.load_state_dict(network.state_dict())
    torch.testing.assert_close(logits(inference, images), logits(network, images), rtol=1e-4, atol=1e-5)
    again = small(head, car, projection).eval()
    again.load_state_dict(inference.state_dict())
    torch.testing.assert_close(logits(again, images), logits(network, images), rtol=1e-3, atol=1e-4)


def test_a_capped_tap_cannot_be_unfolded_under_a_wide_projection():
    class Wide(SelfAttentionHead):
        def __init__(self, inputs):
            super().__init__(inputs, channels=24)
            self.tap_channels = 16

    def network():
        return Segmenter(Backbone("resnet18", 32), Wide, 7, "on", "3x3").eval()

    folded, images = network().fold(), torch.rand(1, 3, 65, 65)
    assert logits(folded, images).shape == (1, 7, 3, 3)
    with pytest.raises(InputError, match="load the training checkpoint instead"):
        network().load_state_dict(folded.state_dict())


@pytest.mark.parametrize(("name", "stride"), [("resnet18", 8), ("hrnet_w18_small", 4), ("convnext_atto", 32)])
def test_create_segmenter_takes_the_papers_output_stride(name, stride):
    with torch.device("meta"):
        assert create_segmenter(name, "fcn", 5).backbone.strides[-1] == stride


def test_create_segmenter_names():
    network = create_segmenter("resnet18", "fcn", 5, output_stride=32, car="on", projection="1x1")
    assert network(torch.rand(1, 3, 64, 64)).logits.shape == (1, 5, 2, 2)
    with pytest.raises(InputError, match="fcn, deeplabv3, self-attention"):
        create_segmenter("resnet18", "psp", 5)
    with pytest.raises(InputError, match="at least one class"):
        create_segmenter("resnet18", "fcn", 0)


def test_segmenter_compiles():
    torch._dynamo.reset()
    network, images = trained("self-attention", "on", "1x1"), torch.rand(1, 3, 33, 33)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(logits(compiled, images), logits(network, images))


@pytest.mark.parametrize(
    "wrong",
    [
        {"car": "On"},
        {"projection": "5x5"},
        {"norm_eps": -1.0},
        {"norm_momentum": 0.0},
        {"dropout": 1.0},
        {"aux_channels": -1},
        {"initialization": "zeros"},
    ],
    ids=lambda w: next(iter(w)),
)
def test_a_typo_is_no_other_experiment(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Segmenter(Backbone("test_resnet", 32), partial(FCNHead, channels=8), 3, **wrong)


def test_head_arguments_are_looked_at():
    inputs = HeadInputs((8,), (8,), 5)
    with pytest.raises(InputError, match="key_channels=0"):
        SelfAttentionHead(inputs, key_channels=0)
    with pytest.raises(InputError, match="channels=0"):
        FCNHead(inputs, channels=0)


def test_yaml_reads_a_bare_on_as_true():
    assert small("fcn", True, "1x1").projections[0].linear is not None
    assert small("fcn", False, "1x1").projections[0].linear is None


def test_a_folded_network_without_car_loads_into_one_with():
    source, images = trained("self-attention", "off", "3x3").fold(), torch.rand(1, 3, 33, 41)
    target = trained("self-attention", "on", "3x3").fold()
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(logits(target, images), logits(source, images))


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("upernet", {"jpu": True}, "network.jpu"),
        ("fcn", {"jpu": True, "levels": 2}, "levels"),
        ("fcn", {"aux_channels": 8, "levels": 1}, "levels"),
        ("ccnet", {"recurrence": 0}, "recurrence=0"),
        ("caa", {"hidden_channels": 0}, "hidden_channels=0"),
        ("cpnet", {"grid": 0}, "grid=0"),
    ],
)
def test_what_does_not_fit_together_is_named(head, options, message):
    levels = options.pop("levels", 4)
    of_segmenter = {name: options.pop(name) for name in ("jpu", "aux_channels") if name in options}
    with pytest.raises(InputError, match=message):
        Segmenter(
            Backbone("test_resnet", 32, levels=levels), partial(HEADS[head], channels=8, **options), 3, **of_segmenter
        )


def test_a_network_in_float64_folds_in_float64():
    network, images = trained("self-attention", "on", "3x3").double(), torch.rand(1, 3, 33, 41).double()
    torch.testing.assert_close(logits(network.fold(), images), logits(network, images), rtol=1e-10, atol=1e-10)


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
