"""CAR on anybody's network: a linear layer and a tap in front of a layer that is named, folded away again later."""

import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from classaware.regularization.arguments import check_integers
from classaware.regularization.layer_names import find_layer
from classaware.regularization.linear_map import (
    Layer,
    become_identity,
    create_linear_map,
    fold_linear_map,
    why_not_foldable,
)
from classaware.regularization.module import ClassAwareRegularization, ClassAwareTerms
from classaware.regularization.tokens import tokens_to_maps

NAME = "classaware"  # of the tap, as a child of the layer


class Tap(nn.Module):
    """What `attach` puts in front of a layer, as a child of it: its linear layer, and what it keeps in training."""

    def __init__(
        self,
        linear: nn.Conv2d | nn.Linear | None,
        regularization: ClassAwareRegularization,
        grid: tuple[int, int] | None,
        prefix_tokens: int,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.regularization = regularization
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.kept: Tensor | None = None
        self.hook: torch.utils.hooks.RemovableHandle | None = None
        self.versions: tuple[int, int] | None = None  # of the layer's weight and the linear layer's, at the last losses
        self.warned = False

    def forward(
        self, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the layer is called with, the features linearly mapped and kept."""
        name = "input" if "input" in named else next(iter(named), "input")
        x: Tensor = inputs[0] if inputs else named[name]
        if self.linear is not None:
            x = self.linear(x)
        if self.training and not _in_backward():
            self.kept = x
        return ((x, *inputs[1:]), named) if inputs else ((), named | {name: x})

    def train(self, mode: bool = True) -> "Tap":
        """As every module's; what was kept is let go of at the end of training."""
        if not mode:
            self.kept = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """Without the last batch's features, which are part of a graph that cannot be copied."""
        return self.__dict__ | {"kept": None, "versions": None}

    def look_for_optimizer(self, layer: nn.Module) -> None:
        """Warn, once, if the layer's weight is trained and the linear layer's is not."""
        if self.linear is None or not self.linear.weight.requires_grad or torch.compiler.is_compiling():
            return
        # Of a tensor, the number of changes in place: what an optimizer's step adds to.
        before, self.versions = self.versions, (int(layer.weight._version), int(self.linear.weight._version))
        if self.warned or before is None or self.versions[0] <= before[0] or self.versions[1] != before[1]:
            return
        self.warned = True
        warnings.warn(
            "the layer that CAR is attached to is trained, the linear layer in front of it is not: attach before the "
            "optimizer is made, or add the new parameters to it.",
            stacklevel=3,
        )


def run_tap(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any] | None = None) -> Any:
    """The layer's forward pre-hook: its own tap, also where the layer is a replica (DataParallel)."""
    tap = getattr(layer, NAME, None)
    if named is None or not isinstance(tap, Tap):
        raise RuntimeError(
            f"CAR was attached to a layer that something has replaced by {type(layer).__name__} (quantization?), "
            "without CAR's linear layer: fold() first."
        )
    return tap(layer, inputs, named)


class Attachment:
    """CAR on one layer of a network; made by `attach`, or by `attached` for a copy.

    Attributes:
        model: the network.
        layer: name of the layer that reads the features.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        self.model = model
        self.layer = layer

    @property
    def regularization(self) -> ClassAwareRegularization:
        """The regularizer, whose weights and margins may be changed during training."""
        return self._tap().regularization

    @property
    def features(self) -> Tensor | None:
        """What the last forward pass in training gave the layer: maps (B, C, H, W), or tokens as they were."""
        return self._tap().kept

    def losses(self, labels: Tensor) -> ClassAwareTerms:
        """CAR's terms of the last forward pass in training, which can be asked for once.

        Under ``no_grad`` they come without a gradient.

        Args:
            labels: (B, Hl, Wl), any integer dtype, at any resolution.

        Returns:
            The three terms and ``total``, to be added to the task's loss.

        Raises:
            ValueError: there was no forward pass in training, its features have no gradient or no shape that fits the
                labels, or the labels are bad (see :class:`ClassAwareRegularization`).
        """
        tap = self._tap()
        if tap.kept is None:
            raise ValueError(
                f"layer {self.layer!r} has kept no features: it has not run in training since the last losses(). In "
                "training, call model.train() and the model before each losses(); in validation, leave losses() out. "
                "(A layer whose weights are read without calling it, or a replica of nn.DataParallel, cannot be "
                "attached to.)"
            )
        if torch.is_grad_enabled() and not tap.kept.requires_grad:
            raise ValueError(
                f"the features in front of layer {self.layer!r} carry no gradient: the network ran under no_grad, "
                "everything up to there is frozen, or it is inside a checkpointed block (give "
                "torch.utils.checkpoint use_reentrant=False)."
            )
        tap.look_for_optimizer(self._layer())
        terms = tap.regularization(self._maps(tap.kept, labels), labels)
        tap.kept = None
        return terms

    def fold(self) -> nn.Module:
        """Merge the linear layer into the layer behind it, and take everything of CAR away.

        The network has the names, parameters and operations that it came with, and computes in eval mode what it
        did attached, up to rounding. Exact at the borders too: where the layer pads with zeros, or has no bias, the
        linear layer has no bias either.

        Returns:
            The model, changed in place.

        Raises:
            ValueError: it was folded or removed before, or the network is sharded.
        """
        tap = self._tap()
        self._check_whole()
        if tap.linear is not None:
            reason = why_not_foldable(self._layer()) or _shared(self.model, self._layer())
            if reason is not None:
                raise ValueError(f"the linear layer cannot be merged into {self.layer!r} any more, for {reason}.")
            fold_linear_map(tap.linear, self._layer())
        return self.remove()

    def remove(self) -> nn.Module:
        """Take everything of CAR away, the linear layer's weights with it. To keep what it learned, `fold` instead.

        Returns:
            The model, changed in place.
        """
        tap = self._tap()
        self._check_whole()
        assert tap.hook is not None
        tap.hook.remove()
        if tap.linear is not None:
            become_identity(tap.linear)  # compiled code from before may go on calling it
        delattr(self._layer(), NAME)
        return self.model

    def _layer(self) -> Layer:
        layer = self.model.get_submodule(self.layer)
        if not isinstance(layer, Layer):
            raise ValueError(
                f"layer {self.layer!r} has become {type(layer).__name__}: ask attached(model) for what is there now."
            )
        return layer

    def _tap(self) -> Tap:
        tap = getattr(self._layer(), NAME, None)
        if not isinstance(tap, Tap):
            raise ValueError(
                f"CAR is no longer attached to {self.layer!r}: it was folded or removed, or the layer replaced."
            )
        return tap

    def _check_whole(self) -> None:
        """Weights can be changed, and stay so: what FSDP has gathered for a forward pass is a passing copy."""
        if _is_sharded(self.model):
            raise ValueError(
                "the network's weights are sharded (fully_shard): gather its full state dict "
                "(torch.distributed.checkpoint.state_dict), load it into the same network, attached alike and not "
                "sharded, and fold that."
            )

    def _maps(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, C, H, W) of what the layer reads."""
        tap = self._tap()
        if not isinstance(self._layer(), nn.Linear) or not isinstance(labels, Tensor):
            return x
        if x.ndim == 3 and labels.ndim == 3:
            return tokens_to_maps(x, tap.prefix_tokens, tap.grid, (labels.shape[1], labels.shape[2]))
        if x.ndim == 4 and tap.grid is None and not tap.prefix_tokens:
            return x.permute(0, 3, 1, 2)
        raise ValueError(
            f"layer {self.layer!r} reads features of shape {tuple(x.shape)}, and the labels are {tuple(labels.shape)}: "
            "features must be tokens (B, N, C) or maps (B, H, W, C; no grid or prefix_tokens), labels (B, H, W)."
        )

    def __repr__(self) -> str:
        return f"Attachment(layer={self.layer!r})"


def attach(
    model: nn.Module,
    at: str | nn.Module = "auto",
    *,
    num_classes: int,
    ignore_index: int = 255,
    linear: bool = True,
    identity: bool = False,
    grid: tuple[int, int] | None = None,
    prefix_tokens: int = 0,
    **options: Any,
) -> Attachment:
    """Put CAR's linear layer and tap in front of a layer of any network.

    The network is changed in place. In training, add ``losses(labels).total`` to its loss after every forward pass;
    after training, ``fold()`` makes it the network that it was, with other weights. All names stay; the linear
    layer's come beside them, as ``<at>.classaware.linear.weight``. The features are kept in training mode alone; of a
    layer that runs several times in a forward pass, the last ones.

    Attach before the optimizer is made (it has new parameters to train), before ``DistributedDataParallel`` and before
    ``torch.compile``. A copied, unpickled or loaded network keeps CAR; `attached` finds it there.

    Args:
        model: any network.
        at: the convolution (2d, transposed too) or ``nn.Linear`` that reads the features: its dotted name, itself, or
            ``auto``, the classifier (known in segmentation_models_pytorch, transformers, torchvision and mmseg).
        num_classes: K, of the labels.
        ignore_index: label of pixels that have no class.
        linear: False: no linear layer; CAR sees the features as they are.
        identity: start as the identity, so that a trained network goes on unchanged; else with random weights, which
            a trained network has to get used to.
        grid: (rows, columns) of the tokens of an ``nn.Linear`` that reads (B, N, C); None: as the labels' sides.
        prefix_tokens: how many first tokens have no place in the image (class token, registers).
        options: of :class:`ClassAwareRegularization`.

    Raises:
        ValueError: no such layer, one that is attached to already, one that a linear layer cannot be merged into
            (``linear=False`` does without), or a model that is wrapped or compiled already.
    """
    _check_model(model)
    check_integers(0, {"prefix_tokens": prefix_tokens})
    if grid is not None:
        if not isinstance(grid, tuple | list) or len(grid) != 2:
            raise ValueError(f"grid={grid!r}: must be (rows, columns).")
        check_integers(1, {"rows": grid[0], "columns": grid[1]})
    name, layer = find_layer(model, at, num_classes)
    if NAME in name.split("."):
        raise ValueError(f"layer {name!r} is CAR's own: attach to a layer of the network.")
    if hasattr(layer, NAME):
        raise ValueError(f"layer {name!r} has CAR already: fold() or remove() that first.")
    if not isinstance(layer, nn.Linear) and (grid is not None or prefix_tokens):
        raise ValueError(
            f"layer {name!r} is a convolution, which reads maps: grid and prefix_tokens are for nn.Linear."
        )
    if linear:
        reason = why_not_foldable(layer) or _shared(model, layer)
        if reason is not None:
            raise ValueError(
                f"a linear layer cannot be merged into {name!r}, for {reason}: attach to another layer, or give "
                "linear=False, with which CAR sees the features as they are."
            )
    regularization = ClassAwareRegularization(num_classes, ignore_index, **options).to(layer.weight.device)
    if regularization.running is not None:
        regularization.running.take_channels(
            layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels, layer.weight
        )
    tap = Tap(create_linear_map(layer, identity) if linear else None, regularization, grid, prefix_tokens)
    tap.train(layer.training)
    layer.add_module(NAME, tap)
    tap.hook = layer.register_forward_pre_hook(run_tap, with_kwargs=True)
    return Attachment(model, name)


def attached(model: nn.Module) -> list[Attachment]:
    """All that `attach` put into a network, in the order of its layers; of wrapped and compiled networks too."""
    return [
        Attachment(model, name.removesuffix(f".{NAME}"))
        for name, module in model.named_modules()
        if isinstance(module, Tap)
    ]


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is {type(model).__name__}: give a torch.nn.Module.")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError("a scripted model cannot be changed: attach before torch.jit.script, and fold before it, too.")
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise ValueError(f"the model is in {type(model).__name__} already: attach before wrapping it.")
    if _is_sharded(model):
        raise ValueError("the model is sharded (FSDP) already: attach before fully_shard or FullyShardedDataParallel.")
    if hasattr(model, "_orig_mod") or any(m._compiled_call_impl is not None for m in model.modules()):
        raise ValueError("the model is compiled already, and would not see the change: attach before torch.compile.")


def _shared(model: nn.Module, layer: Layer) -> str | None:
    """Whether another layer would change with this one's weight."""
    own = [p for p in layer._parameters.values() if p is not None]
    owners = [m for m in model.modules() if m is not layer and any(p is q for p in m._parameters.values() for q in own)]
    return f"its weight or bias is also that of a {type(owners[0]).__name__}" if owners else None


def _is_sharded(model: nn.Module) -> bool:
    """By fully_shard or FullyShardedDataParallel, also where the model is what the latter has wrapped."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and (
        any(isinstance(m, fsdp.FSDPModule | fsdp.FullyShardedDataParallel) for m in model.modules())
        or any(getattr(p, "_fsdp_flattened", False) for p in model.parameters())
    )


def _in_backward() -> bool:
    """Whether a checkpointed block runs for the second time, whose features nobody would ask for."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
