"""What every head promises, with and without CAR, under both projections."""

import copy
import itertools
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from classaware.errors import InputError
from classaware.models import HEADS, Backbone, HeadInputs, Segmenter
from classaware.models.attention import criss_cross_attention
from classaware.regularization import ClassAwareRegularization
from classaware.training import Objective

CLASSES, CHANNELS, GRID = 5, 16, 8
VARIANTS = list(itertools.product(HEADS, ("off", "on"), ("3x3", "1x1")))
EVERY_VARIANT = pytest.mark.parametrize(("head", "car", "projection"), VARIANTS)
EVERY_HEAD = pytest.mark.parametrize("head", HEADS)
BRANCHES = {"danet": 2}
AUXILIARIES = {"ocr": 1, "acfnet": 1}
# The softmax over keys does not see what is added to all keys alike, a batch norm not what is added in front of it.
WITHOUT_EFFECT = ("key.bias", "rows_first.1.bias", "columns_first.1.bias")


def factory(head: str) -> Callable[[HeadInputs], nn.Module]:
    return partial(HEADS[head], channels=CHANNELS, **({"grid": GRID} if head == "cpnet" else {}))


def backbone(head: str) -> Backbone:
    """Those of the paper in small: HRNet for OCR, a true pyramid for UPerNet, a dilated ResNet for the others."""
    if head == "ocr":
        return Backbone("hrnet_w18_small")
    return Backbone("test_efficientnet") if head == "upernet" else Backbone("test_resnet", 8)


def build(head: str, car: str = "on", projection: str = "1x1", seed: int = 0, **options: object) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(backbone(head), factory(head), CLASSES, car, projection, **options)


def open_gates(network: nn.Module) -> None:
    """What starts at zero (attention's gates, the last norm of a residual block) lets nothing through; here it does."""
    for parameter in network.parameters():
        if parameter.ndim == 1 and not parameter.any():
            nn.init.uniform_(parameter, 0.3, 0.7)


def trained(head: str, car: str, projection: str, seed: int = 0) -> Segmenter:
    """In float64 and eval mode; norms have statistics, biases and gates are not zero."""
    network = build(head, car, projection, seed).double()
    open_gates(network)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and not name.startswith("backbone"):
            nn.init.normal_(parameter, std=0.5)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = 0.7
    for _ in range(2):
        network(images(3, 49, 49).double())
    return network.eval()


def images(batch: int, height: int, width: int, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def labels(batch: int, height: int, width: int) -> Tensor:
    y = torch.randint(0, CLASSES + 1, (batch, height, width), generator=torch.Generator().manual_seed(2))
    return y.where(y < CLASSES, 255)


def size_of_features(head: str, height: int, width: int) -> tuple[int, int]:
    stride = 4 if head in ("ocr", "upernet") else 8
    return (GRID, GRID) if head == "cpnet" else (-(-height // stride), -(-width // stride))


@torch.no_grad()
def logits(network: nn.Module, x: Tensor) -> Tensor:
    return network(x).logits


@EVERY_VARIANT
@pytest.mark.parametrize("size", [(77, 50), (33, 41)])
def test_any_size_every_output_every_gradient(head: str, car: str, projection: str, size: tuple[int, int]) -> None:
    network = build(head, car, projection)
    open_gates(network)
    output = network(images(3, *size))
    features = size_of_features(head, *size)
    branches = BRANCHES.get(head, 1)
    width = network.head.tap_channels if car == "on" else network.head.channels
    assert output.logits.shape == (3, CLASSES, *features)
    assert [tap.shape for tap in output.taps] == [(3, width, *features)] * branches
    assert output.features.shape == (3, branches * width, *features)
    assert [aux.shape for aux in output.aux_logits] == [(3, CLASSES, *features)] * AUXILIARIES.get(head, 0)
    assert (output.affinity is not None) == (head == "cpnet")
    assert all(x.isfinite().all() for x in tree_leaves(tuple(output)) if x is not None)
    loss, _ = Objective(network, ClassAwareRegularization(CLASSES))(output, labels(3, *size))
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert name.endswith(WITHOUT_EFFECT) or parameter.grad.any(), name


@EVERY_VARIANT
def test_training_and_evaluation_agree_where_norms_do(head: str, car: str, projection: str) -> None:
    """What is trained beside them exists in training alone, and does not change what is predicted."""
    network, x = trained(head, car, projection), images(2, 33, 41).double()
    with torch.no_grad():
        measured = network(x)
        network.train()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        in_training = network(x)
    torch.testing.assert_close((in_training.logits, in_training.taps), (measured.logits, measured.taps))
    assert (measured.aux_logits, measured.affinity) == ((), None)
    assert len(in_training.aux_logits) == AUXILIARIES.get(head, 0)
    assert (in_training.affinity is not None) == (head == "cpnet")


@EVERY_VARIANT
def test_folded_equals_unfolded_and_states_go_both_ways(head: str, car: str, projection: str) -> None:
    network, x = trained(head, car, projection), images(2, 41, 58).double()
    expected = logits(network, x)
    folded = network.fold()
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)
    close(logits(folded, x), expected)
    assert not folded.uses_car

    def fresh() -> Segmenter:
        return build(head, car, projection, seed=3).double().eval()

    same, inference = fresh(), fresh().fold()
    assert (logits(same, x) - expected).abs().max() > 1e-3
    same.load_state_dict(network.state_dict())
    assert torch.equal(logits(same, x), expected)
    inference.load_state_dict(folded.state_dict())
    assert torch.equal(logits(inference, x), logits(folded, x))
    inference = fresh().fold()
    inference.load_state_dict(network.state_dict())
    close(logits(inference, x), expected)
    again = fresh()
    # A tap narrower than the features cannot be told from a folded convolution of more than one position.
    if head in ("ccnet", "cpnet", "upernet") and (car, projection) == ("on", "3x3"):
        with pytest.raises(InputError, match="load the training checkpoint instead"):
            again.load_state_dict(folded.state_dict())
    else:
        again.load_state_dict(folded.state_dict())
        close(logits(again, x), expected)


@EVERY_HEAD
def test_copies_and_pickles_are_the_same_network(head: str) -> None:
    network, x = trained(head, "on", "1x1"), images(1, 33, 41).double()
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), copy.deepcopy(network.fold())):
        torch.testing.assert_close(logits(other, x), logits(network, x), rtol=1e-5, atol=1e-5)


class Pyramid(nn.Module):
    """A backbone that compiles quickly: two convolutions."""

    channels = (4, 6)
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *self.channels), self.channels, (4, 2), strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 3, stride=s, padding=1) for i, o, s in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x).relu()
            maps.append(x)
        return maps


@EVERY_HEAD
def test_compiles_as_one_graph_with_the_same_numbers(head: str) -> None:
    """In training, of which evaluation is a part: outputs, gradients, norm statistics."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = Segmenter(Pyramid(), factory(head), CLASSES, "on", "1x1")
    open_gates(network)
    other = copy.deepcopy(network)
    x = images(2, 77, 50)
    outputs = [network(x), torch.compile(other, fullgraph=True, backend="aot_eager")(x)]
    torch.testing.assert_close(tuple(outputs[1]), tuple(outputs[0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dict(other.named_buffers()), dict(network.named_buffers()))
    for output in outputs:
        sum(leaf.square().mean() for leaf in tree_leaves(tuple(output)) if leaf is not None).backward()
    for (name, ours), theirs in zip(network.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operation returns, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.largest = max(self.largest, leaf.untyped_storage().nbytes())
        return result


def largest(compute: Callable[[Tensor], Tensor], side: int) -> int:
    x = torch.randn(1, 8, side, side, requires_grad=True)
    with LargestTensor() as recorder:
        compute(x).sum().backward()
    assert x.grad is not None
    return recorder.largest


def as_one_matrix(x: Tensor) -> Tensor:
    """What the heads must not do."""
    flat = x.flatten(2)
    return flat @ (flat.transpose(1, 2) @ flat).softmax(-1)


# HW, or HW(H + W) where every position has weights of its own for a row and a column; never (HW)², a factor of 16.
GROWTH = {"ccnet": 8, "caa": 8}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("head", ["self-attention", "danet", "ccnet", "caa", "acfnet", "ocr"])
def test_memory_of_attention_does_not_grow_with_the_square_of_the_pixels(
    head: str, layout: torch.memory_format
) -> None:
    """Twice the side. Both sizes lie beyond the one up to which a whole matrix may be held."""
    torch.manual_seed(0)
    module = HEADS[head](HeadInputs((8,), (8,), CLASSES), channels=CHANNELS)
    open_gates(module)

    def compute(x: Tensor) -> Tensor:
        return sum(y.sum() for y in module([x.contiguous(memory_format=layout)]).features)

    module.eval().to(memory_format=layout)  # a batch norm of one value, the image's mean, has no training
    small, large = largest(compute, 33), largest(compute, 66)
    assert large <= 1.05 * GROWTH.get(head, 4) * small
    assert large < 66**4 * 4 / 8


def test_the_recorder_would_see_a_whole_matrix() -> None:
    """Also in the backward pass alone."""
    assert largest(as_one_matrix, 40) == 40**4 * 4
    assert largest(as_one_matrix, 20) * 16 == largest(as_one_matrix, 40)
    assert largest(lambda x: criss_cross_attention(x, x, x), 40) == 40**2 * 80 * 4


@EVERY_HEAD
def test_deep_supervision_predicts_in_training_alone(head: str) -> None:
    """On the second-last map (the last in CAA), or on every branch where there are some."""
    network = build(head, "off", "3x3", aux_channels=8)
    x = images(3, 33, 41)
    output = network(x)
    maps = network.backbone(x)
    level = {"caa": maps[-1]}.get(head, maps[-2])
    size = output.logits.shape[-2:] if head == "danet" else level.shape[-2:]
    extra = output.aux_logits[AUXILIARIES.get(head, 0) :]
    assert [aux.shape for aux in extra] == [(3, CLASSES, *size)] * BRANCHES.get(head, 1)
    loss, terms = Objective(network, ClassAwareRegularization(CLASSES))(output, labels(3, 33, 41))
    assert "aux_ce" in terms
    loss.backward()
    added = {name: p for name, p in network.named_parameters() if name.startswith("auxiliary.")}
    assert added
    assert all(p.grad is not None and p.grad.any() for p in added.values())
    assert network.eval()(x).aux_logits == ()
    torch.testing.assert_close(logits(network.fold(), x), logits(network, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["caa", "deeplabv3", "danet", "cpnet"])
def test_jpu_gives_heads_a_map_at_stride_8(head: str) -> None:
    torch.manual_seed(0)
    network = Segmenter(Backbone("convnext_atto"), factory(head), CLASSES, "on", "1x1", jpu=True, aux_channels=8)
    open_gates(network)
    output = network(images(3, 50, 77))
    assert output.logits.shape[-2:] == ((GRID, GRID) if head == "cpnet" else (7, 10))
    if head == "deeplabv3":
        assert network.head.branch_convs[1][0].dilation == (12, 12)
    loss, _ = Objective(network, ClassAwareRegularization(CLASSES))(output, labels(3, 50, 77))
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert name.endswith(WITHOUT_EFFECT) or parameter.grad.any(), name


def test_dropout_acts_on_the_classifier_in_training_alone() -> None:
    """Whole channels, in front of the classifier; the auxiliary predictions and the taps are as without."""
    plain, dropping = (build("acfnet", "on", "1x1", dropout=rate) for rate in (0.0, 0.5))
    x = images(3, 33, 41)
    torch.testing.assert_close(logits(plain.eval(), x), logits(dropping.eval(), x))
    one, two, without = dropping.train()(x), dropping(x), plain.train()(x)
    assert not torch.equal(one.logits, two.logits)
    torch.testing.assert_close(one.taps, without.taps)
    torch.testing.assert_close(one.aux_logits, without.aux_logits)
    hidden: list[Tensor] = []
    dropping.classifier.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    plain.classifier.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    dropping(x), plain(x)
    share = hidden[0] / hidden[1].where(hidden[1] != 0, 1)
    per_channel = share.amax((2, 3))
    assert set(per_channel.round(decimals=3).unique().tolist()) == {0.0, 2.0}


@EVERY_HEAD
def test_kaiming_reaches_all_but_the_backbone(head: str) -> None:
    glorot, kaiming = (build(head, "on", "3x3", initialization=scheme) for scheme in ("glorot", "kaiming"))
    before, after = dict(glorot.named_parameters()), dict(kaiming.named_parameters())
    kernels = [name for name, p in before.items() if p.ndim > 1]
    for name in kernels:
        assert torch.equal(before[name], after[name]) == name.startswith("backbone."), name
    for name in (name for name in kernels if not name.startswith("backbone.")):
        fan_out, fan_in = before[name].shape[0], before[name][0].numel()
        fan_out *= before[name][0, 0].numel()
        assert before[name].abs().max() <= (6 / (fan_in + fan_out)) ** 0.5
        if before[name].numel() > 500:
            assert after[name].std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.15), name
