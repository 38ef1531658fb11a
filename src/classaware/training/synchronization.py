"""Batch norm over all processes, on any device and backend, that keeps timm's activations."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pytorch_lightning.plugins.layer_sync import LayerSync
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import sync_batch_norm

from classaware.regularization.distributed import processes
from classaware.regularization.precision import at_least_float32


class NormSync(LayerSync):
    """Lightning's hook for synchronized batch norm.

    torch's conversion would replace timm's layers of norm and activation in one (those of every EfficientNet) by a norm
    without activation: another network. And its norm runs on GPUs alone.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every batch norm; parameters, buffers and their names stay."""
        return synchronize_norms(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave it: in eval mode these norms need no other process."""
        return model


def synchronize_norms(model: nn.Module) -> nn.Module:
    """``model`` with a :class:`SynchronizedNorm` in place of every batch norm, with its parameters and buffers."""
    if isinstance(model, nn.BatchNorm2d):
        return SynchronizedNorm.of(model)
    for name, child in model.named_children():
        setattr(model, name, synchronize_norms(child))
    return model


class SynchronizedNorm(BatchNormAct2d):
    """Batch norm with the statistics of the joint batch, followed by timm's drop and activation where it has them.

    On CUDA it is torch's. Elsewhere each process's count, mean and variance are gathered (one collective) and combined
    without cancellation (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979), and backward sums two numbers of each channel over the processes (one collective). Processes may
    hold different numbers of images, or none. All have to call it alike.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "SynchronizedNorm":
        """Made of a batch norm's own parameters and buffers."""
        options = (norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made = cls(*options, apply_act=False)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        if isinstance(norm, BatchNormAct2d):
            made.drop, made.act = norm.drop, norm.act
        return made.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Float (B, C, H, W) in any memory format to the same.

        Raises:
            ValueError: one value of each channel in all processes together.
        """
        if not self.training or processes() == 1:
            return super().forward(x)
        return self.act(self.drop(self._torchs(x) if x.is_cuda else self._normalized(x)))

    def _torchs(self, x: Tensor) -> Tensor:
        statistics = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        options = (self.eps, self._count_batch(), dist.group.WORLD, processes())
        return sync_batch_norm.apply(x, self.weight, self.bias, *statistics, *options)

    @torch.compiler.disable  # the number of values decides what is done
    def _normalized(self, x: Tensor) -> Tensor:
        mean_C, variance_C, count = _joint_moments(x.detach())
        if count < 2:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
        if self.track_running_stats:
            rate = self._count_batch()
            with torch.no_grad():
                self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), rate)
                self.running_var.lerp_((variance_C * count / (count - 1)).to(self.running_var.dtype), rate)
        return _Normalize.apply(x, self.weight, self.bias, mean_C, variance_C, count, self.eps)

    def _count_batch(self) -> float:
        """The weight of this batch in the running statistics."""
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum


def _joint_moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and (biased) variance of each channel, at least float32, and a channel's values, in all processes."""
    x = at_least_float32(x)
    count = x.numel() // x.shape[1]
    # Of a process without any value they are not defined, and will weigh nothing.
    variance_C, mean_C = torch.var_mean(x, (0, 2, 3), correction=0) if count else x.new_zeros(2, x.shape[1])
    mine = torch.stack([torch.full_like(mean_C, count), mean_C, variance_C])
    gathered = [torch.empty_like(mine) for _ in range(processes())]
    dist.all_gather(gathered, mine)
    counts_NC, means_NC, variances_NC = torch.stack(gathered).unbind(1)
    shares_NC = counts_NC / counts_NC.sum(0).clamp(min=1)
    mean_C = (shares_NC * means_NC).sum(0)
    variance_C = (shares_NC * (variances_NC + (means_NC - mean_C).square())).sum(0)
    return mean_C, variance_C, int(counts_NC[:, 0].sum())


class _Normalize(torch.autograd.Function):
    """Batch norm of one process's share; mean and variance are functions of all processes' shares."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        mean_C: Tensor,
        variance_C: Tensor,
        count: int,
        eps: float,
    ) -> Tensor:
        weight_C, bias_C = (None if each is None else each.to(mean_C.dtype) for each in (weight_C, bias_C))
        ctx.save_for_backward(x, weight_C, mean_C, (variance_C + eps).rsqrt())
        ctx.count = count
        return F.batch_norm(x, mean_C, variance_C, weight_C, bias_C, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, mean_C, scale_C = ctx.saved_tensors
        gradient = gradient.to(mean_C.dtype)
        normal = (x - _per_channel(mean_C)) * _per_channel(scale_C)
        mine_2C = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        joint_2C = mine_2C.clone()
        dist.all_reduce(joint_2C)
        mean_gradient, mean_product = (_per_channel(each) for each in joint_2C / ctx.count)
        slope_C = scale_C if weight_C is None else scale_C * weight_C
        dx = (gradient - mean_gradient - normal * mean_product) * _per_channel(slope_C)
        of_bias, of_weight = mine_2C.unbind() if weight_C is not None else (None, None)
        return dx.to(x.dtype), of_weight, of_bias, None, None, None, None


def _per_channel(value_C: Tensor) -> Tensor:
    return value_C.view(1, -1, 1, 1)
