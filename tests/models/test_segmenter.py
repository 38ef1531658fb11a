"""Networks: shapes, published parameter counts, folding, state dicts."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from classaware.errors import InputError
from classaware.models import Backbone, FCNHead, FoldedProjection, Segmenter, SelfAttentionHead, create_segmenter

HEADS = {"fcn": FCNHead, "self-attention": SelfAttentionHead}
VARIANTS = [(head, car, projection) for head in HEADS for car in ("off", "on") for projection in ("3x3", "1x1")]


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


# Trainable parameters of head, projection and classifier for ResNet-50 and 59 classes, of the authors' networks.
PUBLISHED = {
    ("fcn", "off", "3x3"): 9_584_955,
    ("fcn", "on", "1x1"): 9_994_299,
    ("self-attention", "off", "3x3"): 12_157_115,
    ("self-attention", "on", "1x1"): 10_322_619,
    ("self-attention", "off", "1x1"): 10_059_963,
    ("self-attention", "on", "3x3"): 12_419_771,
}


@pytest.mark.parametrize(("variant", "expected"), PUBLISHED.items())
def test_parameters_equal_the_authors_networks(variant, expected):
    head, car, projection = variant
    with torch.device("meta"):
        backbone = Backbone("resnet50", 8)
        network = Segmenter(backbone, HEADS[head], 59, car, projection)
    assert sum(p.numel() for n, p in network.named_parameters() if not n.startswith("backbone.")) == expected


def test_sdpa_and_explicit_attention_give_the_same_numbers():
    torch.manual_seed(0)
    head = SelfAttentionHead([16], channels=32, key_channels=8).eval()
    maps = [torch.randn(2, 16, 9, 7)]
    with torch.no_grad():
        fast = head(maps)
        head.attention = "explicit"
        torch.testing.assert_close(fast, head(maps))


def test_attention_equals_plain_loops():
    """softmax(q . k) over all positions without a scale, weighted values, added to the input."""
    torch.manual_seed(0)
    head = SelfAttentionHead([3], channels=4, key_channels=2).double().eval()
    x = torch.randn(1, 3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        down = head.down(x)[0].flatten(1).T
        q, k, v = ((down @ c.weight.flatten(1).T + c.bias) for c in (head.query, head.key, head.value))
        rows = []
        for i in range(6):
            weights = [torch.exp(sum(q[i, d] * k[j, d] for d in range(2))) for j in range(6)]
            context = sum(w * v[j] for j, w in enumerate(weights)) / sum(weights)
            rows.append(down[i] + context)
        expected = torch.stack(rows).T.reshape(1, 4, 2, 3)
        torch.testing.assert_close(head([x]), expected)


def test_query_and_key_start_equal_but_are_two():
    head = SelfAttentionHead([8], channels=16, key_channels=4)
    assert torch.equal(head.query.weight, head.key.weight)
    assert head.query.weight.data_ptr() != head.key.weight.data_ptr()


@pytest.mark.parametrize(("head", "car", "projection"), VARIANTS)
@pytest.mark.parametrize("size", [(65, 65), (41, 58), (9, 9)])
def test_folded_equals_unfolded_borders_included(head, car, projection, size):
    network = trained(head, car, projection)
    images = torch.rand(2, 3, *size)
    torch.testing.assert_close(logits(network.fold(), images), logits(network, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
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
    assert isinstance(folded.projection, FoldedProjection)
    assert network.training
    assert not folded.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(folded.fold().projection, FoldedProjection)


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
        def __init__(self, in_channels):
            super().__init__(in_channels, channels=24)
            self.tap_channels = 16

    def network():
        return Segmenter(Backbone("resnet18", 32), Wide, 7, "on", "3x3").eval()

    folded, images = network().fold(), torch.rand(1, 3, 65, 65)
    assert logits(folded, images).shape == (1, 7, 3, 3)
    with pytest.raises(InputError, match="load the training checkpoint instead"):
        network().load_state_dict(folded.state_dict())


def test_create_segmenter_names():
    network = create_segmenter("resnet18", "fcn", 5, output_stride=32, car="on", projection="1x1")
    assert network(torch.rand(1, 3, 64, 64)).logits.shape == (1, 5, 2, 2)
    with pytest.raises(InputError, match="fcn, self-attention"):
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
    [{"car": "On"}, {"projection": "5x5"}, {"norm_eps": -1.0}, {"norm_momentum": 0.0}],
    ids=lambda w: next(iter(w)),
)
def test_a_typo_is_no_other_experiment(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Segmenter(Backbone("test_resnet", 32), partial(FCNHead, channels=8), 3, **wrong)
    with pytest.raises(InputError, match="attention"):
        SelfAttentionHead([8], attention="flash")


def test_yaml_reads_a_bare_on_as_true():
    assert small("fcn", True, "1x1").projection.linear is not None
    assert small("fcn", False, "1x1").projection.linear is None


def test_a_folded_network_without_car_loads_into_one_with():
    source, images = trained("self-attention", "off", "3x3").fold(), torch.rand(1, 3, 33, 41)
    target = trained("self-attention", "on", "3x3").fold()
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(logits(target, images), logits(source, images))
