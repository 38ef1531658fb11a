"""CAR attached to somebody's network: what it records, what it returns, and the network folded."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from classaware import ClassAwareRegularization, attach, attached
from classaware.regularization.tokens import token_grid, tokens_to_maps

K = 5


def images(seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(2, 3, 10, 12, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(seed: int = 0) -> Tensor:
    return torch.randint(0, K, (2, 20, 24), generator=torch.Generator().manual_seed(seed))


class Network(nn.Module):
    """Six channels, then a layer that reads them."""

    def __init__(self, layer: nn.Module, tokens: str = "") -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())
        self.head = layer
        self.tokens = tokens

    def forward(self, images: Tensor) -> Tensor:
        x = self.body(images)
        if self.tokens:
            x = x.permute(0, 2, 3, 1)
            if self.tokens == "BNC":
                x = torch.cat([x.flatten(1, 2).mean(1, keepdim=True), x.flatten(1, 2)], 1)
        return self.head(x)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "1x1": lambda: nn.Conv2d(6, K, 1),
    "1x1 without bias": lambda: nn.Conv2d(6, K, 1, bias=False),
    "1x1 padded": lambda: nn.Conv2d(6, K, 1, padding=1),
    "3x3 padded": lambda: nn.Conv2d(6, K, 3, padding=1),
    "3x3 padded without bias": lambda: nn.Conv2d(6, K, 3, padding=1, bias=False),
    "3x3 same": lambda: nn.Conv2d(6, K, 3, padding="same"),
    "1x1 same": lambda: nn.Conv2d(6, K, 1, padding="same"),
    "3x3 valid": lambda: nn.Conv2d(6, K, 3, padding="valid"),
    "3x3 reflected": lambda: nn.Conv2d(6, K, 3, padding=1, padding_mode="reflect"),
    "3x5 strided, dilated": lambda: nn.Conv2d(6, K, (3, 5), stride=2, dilation=2, padding=(2, 0)),
    "transposed": lambda: nn.ConvTranspose2d(6, K, 3, stride=2, padding=1, output_padding=1),
    "transposed without bias": lambda: nn.ConvTranspose2d(6, K, 2, stride=2, bias=False),
    "linear": lambda: nn.Linear(6, K),
    "linear without bias": lambda: nn.Linear(6, K, bias=False),
}
BIASED = {"1x1", "1x1 same", "3x3 valid", "3x3 reflected", "linear"}


def build(name: str, dtype: torch.dtype = torch.float64) -> Network:
    torch.manual_seed(1)
    return Network(LAYERS[name](), "BHWC" if "linear" in name else "").to(dtype)


def shake(network: nn.Module) -> None:
    """Weights as after a training: no bias is zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.3)


@pytest.mark.parametrize("name", LAYERS)
def test_folded_is_the_attached_network_with_the_names_that_it_came_with(name):
    network = build(name)
    came = {k: v.shape for k, v in network.state_dict().items()}
    handle = attach(network, "head", num_classes=K)
    linear = network.head.classaware.linear
    assert (linear.bias is not None) == (name in BIASED)
    shake(network)
    network.eval()
    before = network(images())
    assert handle.fold() is network
    torch.testing.assert_close(network(images()), before, rtol=1e-12, atol=1e-12)
    assert {k: v.shape for k, v in network.state_dict().items()} == came
    assert [n for n, _ in network.named_modules()] == [n for n, _ in build(name).named_modules()]
    assert not network.head._forward_pre_hooks
    assert attached(network) == []


@pytest.mark.parametrize("name", LAYERS)
def test_identity_leaves_a_trained_network_as_it_is(name):
    network = build(name, torch.float32)
    shake(network)
    before = network(images(dtype=torch.float32))
    handle = attach(network, "head", num_classes=K, identity=True)
    assert torch.equal(network(images(dtype=torch.float32)), before)
    handle.fold()
    assert torch.equal(network(images(dtype=torch.float32)), before)


def test_remove_gives_back_the_layer_as_it_is_now():
    network = build("3x3 padded")
    before = network(images())
    handle = attach(network, "head", num_classes=K)
    assert not torch.allclose(network(images()), before)
    handle.remove()
    assert torch.equal(network(images()), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_weights_fold_within_their_rounding(dtype):
    network = build("1x1", dtype)
    handle = attach(network, "head", num_classes=K)
    assert network.head.classaware.linear.weight.dtype == dtype
    network.eval()
    before = network(images(dtype=dtype)).float()
    handle.fold()
    torch.testing.assert_close(network(images(dtype=dtype)).float(), before, rtol=0, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("options", [{}, {"preset": "masked"}, {"pool": 2, "c2c_margin": 0.1}])
def test_losses_and_gradients_are_those_of_the_regularizer_written_by_hand(linear, options):
    network = build("3x3 padded")
    plain = copy.deepcopy(network)
    handle = attach(network, "head", num_classes=K, ignore_index=3, linear=linear, **options)
    logits = network(images())
    terms = handle.losses(labels())
    (logits.square().mean() + terms.total).backward()

    by_hand = [network.head.classaware.linear] if linear else []
    maps = copy.deepcopy(by_hand[0]) if linear else nn.Identity()
    features = maps(plain.body(images()))
    expected = ClassAwareRegularization(K, 3, **options)(features, labels())
    (plain.head(features).square().mean() + expected.total).backward()
    assert torch.equal(torch.stack(terms), torch.stack(expected))
    wanted = [p.grad for p in (*plain.parameters(), *maps.parameters())]
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_features_are_kept_in_training_alone_and_taken_once():
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    network.eval()
    network(images())
    assert handle.features is None
    with pytest.raises(ValueError, match=r"'head' has kept no features.*model\.train\(\)"):
        handle.losses(labels())
    network.train()
    network(images())
    assert handle.features.shape == (2, 6, 10, 12)
    handle.losses(labels())
    assert handle.features is None
    network(images())
    network.eval()
    assert handle.features is None


def test_an_optimizer_that_does_not_know_the_linear_layer_is_warned_of_once():
    network = build("1x1", torch.float32)
    early = torch.optim.SGD(network.parameters(), 0.1)
    handle = attach(network, "head", num_classes=K)
    late = torch.optim.SGD(network.parameters(), 0.1)

    def step(optimizer: torch.optim.Optimizer, times: int = 1) -> None:
        for _ in range(times):
            handle_loss = network(images(dtype=torch.float32)).square().mean() + handle.losses(labels()).total
            handle_loss.backward()
        optimizer.step()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(late)
        step(late, times=3)  # accumulated: nothing changes between two of them
        step(early)
    with pytest.warns(UserWarning, match="attach before the optimizer"):
        step(early)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(early, times=2)


def test_bad_labels_leave_the_features_where_they_are():
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    network(images())
    with pytest.raises(ValueError, match="pass the same batch"):
        handle.losses(labels()[:1])
    with pytest.raises(ValueError, match="7"):
        handle.losses(torch.full((2, 20, 24), 7))
    assert handle.losses(labels()).total > 0


@pytest.mark.parametrize("layout", ["BHWC", "BNC"])
def test_tokens_are_maps(layout):
    torch.manual_seed(0)
    network = Network(nn.Linear(6, K), layout).double()
    options = {"prefix_tokens": 1} if layout == "BNC" else {}
    handle = attach(network, "head", num_classes=K, identity=True, **options)
    network(images())
    expected = ClassAwareRegularization(K)(network.body(images()), labels())
    torch.testing.assert_close(torch.stack(handle.losses(labels())), torch.stack(expected))


def test_maps_need_no_grid():
    network = Network(nn.Linear(6, K), "BHWC").double()
    handle = attach(network, "head", num_classes=K, grid=(10, 12))
    network(images())
    with pytest.raises(ValueError, match=r"maps \(B, H, W, C; no grid or prefix_tokens\)"):
        handle.losses(labels())


def test_a_grid_can_be_given_and_must_fit():
    network = Network(nn.Linear(6, K), "BNC").double()
    handle = attach(network, "head", num_classes=K, prefix_tokens=1, grid=(12, 10))
    network(images())
    x_BNC = handle.features
    expected = ClassAwareRegularization(K)(x_BNC[:, 1:].mT.reshape(2, 6, 12, 10), labels())
    torch.testing.assert_close(torch.stack(handle.losses(labels())), torch.stack(expected))
    handle.remove()
    for options in ({}, {"grid": (10, 12)}):
        handle = attach(network, "head", num_classes=K, **options)
        network(images())
        with pytest.raises(ValueError, match=r"121 tokens.*prefix_tokens"):
            handle.losses(labels())
        handle.remove()


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    patch=st.integers(2, 16),
    left_over=st.integers(0, 15),
    prefix=st.integers(0, 5),
)
def test_tokens_of_whole_patches_find_their_grid(rows, columns, patch, left_over, prefix):
    """Also where the image's sides are no multiples of the patch's and the last ones are cut off."""
    size = (rows * patch + left_over % patch, columns * patch)
    x_BNC = torch.arange(prefix + rows * columns, dtype=torch.float64).reshape(1, -1, 1)
    height, width = token_grid(rows * columns, size)
    assert height * width == rows * columns
    if left_over % patch == 0:
        assert (height, width) == (rows, columns)
    maps = tokens_to_maps(x_BNC, prefix, None, size)
    assert maps.shape == (1, 1, height, width)
    assert maps[0, 0, height // 2, width - 1] == prefix + (height // 2) * width + width - 1


def test_every_copy_of_the_network_has_an_attachment_of_its_own():
    network = build("1x1")
    attach(network, "head", num_classes=K, centers="ema")
    network(images())  # features in a graph are kept while it is copied
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    average = torch.optim.swa_utils.AveragedModel(network).train()
    copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), torch.load(file, weights_only=False)]
    for each in (*copies, average):
        (handle,) = attached(each)
        assert handle.features is None
        each(images())
        assert handle.losses(labels()).total.isfinite()
        each.eval()
        before = each(images())
        handle.fold()
        torch.testing.assert_close(each(images()), before)
    assert attached(network)[0].features is not None


def test_state_dicts_hold_the_linear_layer_and_running_centers_beside_the_original_names():
    network, other = build("1x1"), build("1x1")
    came = set(network.state_dict())
    attach(network, "head", num_classes=K, centers="ema")
    handle = attach(other, "head", num_classes=K, centers="ema")
    network(images())
    attached(network)[0].losses(labels())
    state = network.state_dict()
    assert came < set(state)
    assert all(name.startswith("head.classaware.") for name in set(state) - came)
    other.load_state_dict(state)
    for each in (network, other):
        each(images())
    assert torch.equal(handle.losses(labels()).total, attached(network)[0].losses(labels()).total)


def test_two_layers_can_have_car_at_once():
    network = build("1x1")
    first = attach(network, "body.0", num_classes=K, linear=False)
    second = attach(network, network.head, num_classes=K)
    assert [each.layer for each in attached(network)] == ["body.0", "head"]
    network(images().requires_grad_())
    assert first.losses(labels()).total != second.losses(labels()).total
    with pytest.raises(ValueError, match="'head' has CAR already"):
        attach(network, "head", num_classes=K)
    with pytest.raises(ValueError, match="CAR's own"):
        attach(network, "head.classaware.linear", num_classes=K)


def test_the_last_of_several_runs_counts():
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    network(images(0))
    network(images(1))
    twice = handle.losses(labels()).total
    network(images(1))
    assert torch.equal(handle.losses(labels()).total, twice)


class Checkpointed(Network):
    reentrant = False

    def forward(self, images: Tensor) -> Tensor:
        return checkpoint(super().forward, images, use_reentrant=self.reentrant)


def test_checkpointed_blocks_give_the_same_gradients_and_keep_nothing():
    gradients = []
    for kind in (Network, Checkpointed):
        torch.manual_seed(0)
        network = kind(nn.Conv2d(6, K, 1)).double()
        handle = attach(network, "head", num_classes=K)
        logits = network(images().requires_grad_())
        (logits.square().mean() + handle.losses(labels()).total).backward()
        assert handle.features is None
        gradients.append([p.grad for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_reentrant_checkpoints_are_refused_with_the_cure():
    network = Checkpointed(nn.Conv2d(6, K, 1)).double()
    network.reentrant = True
    handle = attach(network, "head", num_classes=K)
    network(images().requires_grad_())
    with pytest.raises(ValueError, match="use_reentrant=False"):
        handle.losses(labels())


def test_without_gradients_losses_can_be_looked_at():
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    with torch.no_grad():
        network(images())
        assert handle.losses(labels()).total > 0


def test_compiled_in_one_graph_and_folded_afterwards():
    network = build("3x3 padded", torch.float32)
    handle = attach(network, "head", num_classes=K)
    eager = copy.deepcopy(network)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    for each in (eager, compiled):
        logits = each(images(dtype=torch.float32))
        (logits.square().mean() + attached(each)[0].losses(labels()).total).backward()
    for one, other in zip(eager.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    compiled.eval()
    before = compiled(images(dtype=torch.float32))
    handle.fold()
    # Compiled code does not look whether hooks have gone; it must not apply the linear layer a second time.
    torch.testing.assert_close(compiled(images(dtype=torch.float32)), before)


def test_under_autocast_features_are_half_and_terms_are_not():
    network = build("1x1", torch.float32)
    handle = attach(network, "head", num_classes=K)
    with torch.autocast("cpu", torch.bfloat16):
        network(images(dtype=torch.float32))
        assert handle.features.dtype == torch.bfloat16
        terms = handle.losses(labels())
    assert terms.total.dtype == torch.float32
    terms.total.backward()
    assert network.head.classaware.linear.weight.grad.abs().sum() > 0


def test_a_layer_may_be_called_by_keyword():
    class ByKeyword(Network):
        def forward(self, images: Tensor) -> Tensor:
            return self.head(**{self.name: self.body(images)})

    class Named(nn.Conv2d):
        def forward(self, features: Tensor) -> Tensor:
            return super().forward(features)

    for layer, name, linear in ((nn.Conv2d(6, K, 1), "input", True), (Named(6, K, 1), "features", False)):
        network = ByKeyword(layer).double()
        network.name = name
        handle = attach(network, "head", num_classes=K, linear=linear)
        network(images())
        assert handle.losses(labels()).total > 0


def weight_normed() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(6, K, 1))


class Standardized(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.conv2d(input, self.weight - self.weight.mean(), self.bias)


class ShiftedWeights(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight + 1, bias)


def pruned(name: str) -> nn.Module:
    return prune.l1_unstructured(nn.Conv2d(6, K, 1), name, 2)


NOT_FOLDABLE = {
    "groups": (lambda: nn.Conv2d(6, 6, 3, groups=3), "3 groups"),
    "weight norm": (weight_normed, "computed from others"),
    "own forward": (lambda: Standardized(6, K, 1), "Standardized computes something of its own"),
    "own convolution": (lambda: ShiftedWeights(6, K, 1), "ShiftedWeights computes something of its own"),
    "pruned bias": (lambda: pruned("bias"), "pruning"),
    "lazy": (lambda: nn.LazyConv2d(K, 1), "no weight yet|something of its own"),
}


@pytest.mark.parametrize("name", NOT_FOLDABLE)
def test_layers_that_nothing_can_be_merged_into(name):
    make, reason = NOT_FOLDABLE[name]
    network = Network(make())
    with pytest.raises(ValueError, match=rf"cannot be merged into 'head'.*({reason}).*linear=False"):
        attach(network, "head", num_classes=K)
    assert attached(network) == []
    if name != "lazy":
        network = network.double()
        handle = attach(network, "head", num_classes=K, linear=False)
        network(images())
        assert handle.losses(labels()).total.isfinite()


def test_a_weight_that_two_layers_share_is_not_folded_into():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    with pytest.raises(ValueError, match="also that of a Linear"):
        attach(network, "1", num_classes=K)
    network[1].weight = nn.Parameter(torch.eye(4))
    network[1].bias = network[0].bias
    with pytest.raises(ValueError, match="also that of a Linear"):
        attach(network, "1", num_classes=K)


def tie(network: Network) -> None:
    network.other = nn.Conv2d(6, K, 1)
    network.other.weight = network.head.weight


AFTERWARDS: dict[str, Callable[[Network], Any]] = {
    "weight norm": lambda network: nn.utils.parametrizations.weight_norm(network.head),
    "pruned": lambda network: prune.l1_unstructured(network.head, "weight", 3),
    "tied": tie,
}


@pytest.mark.parametrize("case", AFTERWARDS)
def test_what_was_done_to_the_layer_since_is_seen_before_it_is_folded(case):
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    AFTERWARDS[case](network)
    before = network(images())
    with pytest.raises(ValueError, match="cannot be merged into 'head' any more"):
        handle.fold()
    assert torch.equal(network(images()), before)


def test_a_layer_that_was_replaced_is_named():
    network = build("1x1")
    handle = attach(network, "head", num_classes=K)
    network.head = nn.Identity()
    with pytest.raises(ValueError, match="'head' has become Identity"):
        handle.fold()
    network.head = nn.Conv2d(6, K, 1)
    with pytest.raises(ValueError, match=r"no longer attached.*the layer replaced"):
        handle.fold()


def test_quantization_of_an_attached_network_says_to_fold_first():
    network = Network(nn.Linear(6, K), "BHWC")
    attach(network, "head", num_classes=K)
    quantized = torch.ao.quantization.quantize_dynamic(network.eval(), {nn.Linear}, torch.qint8)
    with pytest.raises(RuntimeError, match=r"replaced by.*fold\(\) first"):
        quantized(images(dtype=torch.float32))


def test_averaged_copies_made_before_the_first_losses_have_running_centers_too():
    network = build("1x1", torch.float32)
    handle = attach(network, "head", num_classes=K, centers="ema")
    average = torch.optim.swa_utils.AveragedModel(network)
    network(images(dtype=torch.float32))
    handle.losses(labels())
    average.update_parameters(network)
    average.update_parameters(network)
    network.eval()
    torch.testing.assert_close(average.eval()(images(dtype=torch.float32)), network(images(dtype=torch.float32)))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such layer": ({"at": "haed"}, "no layer 'haed'.*head"),
    "not a layer that reads features": ({"at": "body"}, "'body' is Sequential, neither.*in it there are body.0"),
    "an activation": ({"at": "body.1"}, "Tanh"),
    "a foreign module": ({"at": nn.Conv2d(1, 1, 1)}, "no layer of this model"),
    "auto finds none": ({"num_classes": 9}, r"no layer has 9 outputs \(num_classes\).*'head'"),
    "grid of a convolution": ({"at": "head", "grid": (2, 2)}, "'head' is a convolution.*grid"),
    "grid of three": ({"at": "head", "grid": (2, 2, 2)}, r"grid=\(2, 2, 2\)"),
    "no grid": ({"at": "head", "grid": 4}, "grid=4"),
    "empty grid": ({"at": "head", "grid": (0, 4)}, "rows=0"),
    "no name": ({"at": None}, "at=None"),
    "negative prefix": ({"at": "head", "prefix_tokens": -1}, "prefix_tokens=-1"),
    "regularizer's own": ({"at": "head", "preset": "best"}, "preset='best'"),
    "misspelled option": ({"at": "head", "margin": 1}, "margin"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_leave_the_network_alone(case):
    given_, message = BAD[case]
    network = build("1x1")
    with pytest.raises((ValueError, TypeError), match=message):
        attach(network, **({"num_classes": K} | given_))
    assert attached(network) == []
    assert not network.head._forward_pre_hooks


def test_wrapped_and_compiled_models_are_refused():
    network = build("1x1")
    with pytest.raises(ValueError, match="DataParallel already: attach before"):
        attach(nn.DataParallel(network), "module.head", num_classes=K)
    with pytest.raises(ValueError, match=r"attach before torch\.compile"):
        attach(torch.compile(network), "head", num_classes=K)
    network.compile()
    with pytest.raises(ValueError, match=r"attach before torch\.compile"):
        attach(network, "head", num_classes=K)
    with pytest.raises(ValueError, match=r"before torch\.jit\.script"):
        attach(torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 1))), "0", num_classes=K)


def test_a_handle_says_that_it_is_no_longer_attached():
    handle = attach(build("1x1"), "head", num_classes=K)
    handle.fold()
    for use in (lambda: handle.losses(labels()), handle.fold, handle.remove, lambda: handle.features):
        with pytest.raises(ValueError, match="no longer attached to 'head': it was folded or removed"):
            use()


def test_random_weights_are_glorots():
    network = Network(nn.Conv2d(6, K, 1))
    network.head = nn.Conv2d(400, K, 1)
    attach(network, "head", num_classes=K)
    weight = network.head.classaware.linear.weight.detach()
    bound = math.sqrt(6 / 800)
    assert weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert network.head.classaware.linear.bias.abs().max() == 0
