"""Training and validation of a segmenter as a Lightning module."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from classaware.errors import InputError
from classaware.evaluation import ConfusionMatrix, Inference, scores
from classaware.models import Segmenter, SegmenterOutput
from classaware.regularization import ClassAwareRegularization
from classaware.training.affinity import Affinity
from classaware.training.card import KEY, NetworkCard
from classaware.training.loss import Average
from classaware.training.objective import Objective, RivalFactory
from classaware.training.optimization import Decay, create_optimizer, parameter_groups, poly_schedule


class SegmentationTask(pl.LightningModule):
    """The objective (cross-entropy, CAR where the network has a tap for it, and more), SGD or AdamW, the poly schedule.

    The defaults are the authors': SGD 0.01, momentum 0.9, poly 0.9 without warm-up, weight decay 2e-4 (their penalty
    is 1e-4 without the 1/2) on the head's kernels alone.

    Args:
        network: the network to train.
        regularizer: used when ``network`` has CAR's linear convolution.
        average: what the cross-entropy's sum is divided by: ``valid`` pixels, or ``all`` as in the authors' code.
        optimizer: ``sgd`` or ``adamw``.
        lr: initial learning rate.
        momentum: of SGD.
        weight_decay: of the weights that ``decay`` names.
        decay: ``released`` (the head's kernels alone) or ``kernels`` (all kernels, backbone included).
        backbone_lr_scale: the backbone's learning rate over ``lr``.
        power: of the poly schedule.
        warmup_steps: linear rise at the beginning.
        aux_weight: of the auxiliary logits' cross-entropies (OCR, ACFNet, ``network.aux_channels``).
        affinity_weight: of CPNet's affinity loss.
        affinity: its form, ``published`` or ``released``.
        rare_pairs: share, 0 to 1, of the cross-entropy that weighs pixels by how rare the company of their class is
            (``RarePairs``, not in the paper); 0: the plain one.
        rival: another loss on the tap to compare CAR with: ``PixelContrast`` or ``CenterLoss``.
        inference: how it is validated; the default is the whole image at its own size.
        compile: train through ``torch.compile``; validation is not compiled. It needs a C++ compiler and crops of one
            size, and on a CPU a minute and a half before the first step; then a step takes 0.9 of its time
            (EfficientNet-Lite0 with Self-Attention, one core), so it pays from some 600 such steps on.
    """

    def __init__(
        self,
        network: Segmenter,
        regularizer: ClassAwareRegularization,
        average: Average = "valid",
        optimizer: Literal["sgd", "adamw"] = "sgd",
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 2e-4,
        decay: Decay = "released",
        backbone_lr_scale: float = 1.0,
        power: float = 0.9,
        warmup_steps: int = 0,
        aux_weight: float = 0.4,
        affinity_weight: float = 1.0,
        affinity: Affinity = "published",
        rare_pairs: float = 0.0,
        rival: RivalFactory | None = None,
        inference: Inference | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        _check_range(
            lr,
            momentum,
            weight_decay=weight_decay,
            backbone_lr_scale=backbone_lr_scale,
            power=power,
            warmup_steps=warmup_steps,
            aux_weight=aux_weight,
            affinity_weight=affinity_weight,
        )
        # The fast layout for convolutions on GPUs and CPUs alike; it changes no value.
        self.network = network.to(memory_format=torch.channels_last)
        self.objective = Objective(
            network, regularizer, average, aux_weight, affinity_weight, affinity, rival, rare_pairs
        )
        self.optimizer: Literal["sgd", "adamw"] = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.decay: Decay = decay
        self.backbone_lr_scale = backbone_lr_scale
        self.power = power
        self.warmup_steps = warmup_steps
        self.card: NetworkCard | None = None
        self.inference = inference or Inference()
        self.compiled = compile
        if compile:
            self.network.compile()  # in place: names in checkpoints stay
        self.val_confusion = ConfusionMatrix(network.num_classes, regularizer.ignore_index)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write what the network is beside its weights."""
        if self.card is not None:
            checkpoint[KEY] = self.card.to_dict()

    def on_train_start(self) -> None:
        """Set this schedule's rates: a checkpoint brings those of the run's length when it was written."""
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
        schedule._last_lr = [base * factor for base, factor in zip(schedule.base_lrs, factors, strict=True)]
        for group, lr in zip(schedule.optimizer.param_groups, schedule._last_lr, strict=True):
            group["lr"] = lr

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch ``{"image": (B, 3, H, W) in [0, 1], "label": (B, H, W)}``, every term logged."""
        labels = batch["label"]
        output = self._forward(batch["image"].contiguous(memory_format=torch.channels_last))
        loss, terms = self.objective(output, labels)
        # Neither for the progress bar, which reads every step, nor a number, which is sent: both wait for the device.
        self.log("loss", loss.detach())
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()})
        self.log("train/lr", torch.tensor(self.optimizers().param_groups[-1]["lr"]))  # type: ignore[union-attr]
        return loss

    def _forward(self, images: Tensor) -> SegmenterOutput:
        try:
            output: SegmenterOutput = self.network(images)
        except RuntimeError as error:
            if not self.compiled or "InvalidCxxCompiler" not in str(error):
                raise
            raise InputError("training.compile=true needs a C++ compiler (g++): install one, or drop it.") from error
        return output

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Show the loss, and stop when it is no number; only when it is logged, for the look waits for the device."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        accumulated = (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0
        if every > 0 and accumulated and self.trainer.global_step % every == 0:
            loss = float(outputs["loss"])
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss is {loss} at step {self.trainer.global_step}: lower training.lr (now {self.lr}), "
                    "raise training.warmup_steps, or use trainer.precision=32-true."
                )
            self.log("loss", torch.tensor(loss), prog_bar=True, logger=False)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Images of the loader, uint8 at their own size, compared with the labels at the labels' own size."""
        labels = batch["label"]
        with self._as_written():
            prediction = self.inference.predict(self.network, batch["image"], (labels.shape[-2], labels.shape[-1]))
        self.val_confusion.update(prediction, labels)

    def _as_written(self) -> AbstractContextManager[None]:
        """Without compiled code, which would be made anew for the images' sizes."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def on_validation_epoch_end(self) -> None:
        """Log mIoU and pixel accuracy over the whole set."""
        names = [str(i) for i in range(self.network.num_classes)]
        confusion = self.val_confusion.compute()
        self.val_confusion.reset()
        if not confusion.any() and not self.trainer.sanity_checking:
            raise InputError(
                "no mask of the validation split has a labeled pixel: see what data.dataset.ignore_index is, and what "
                "the masks hold ('classaware data check')."
            )
        result = scores(confusion, names)
        self.log("val/miou", result.mean_iou, prog_bar=True)
        self.log("val/pixel_accuracy", result.pixel_accuracy)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer, one schedule that is advanced every step."""
        max_steps = self.trainer.max_steps
        if max_steps < 1:
            raise InputError("trainer.max_steps must be set: training is counted in steps (for example 30000).")
        groups = parameter_groups(self.network, self.lr, self.weight_decay, self.decay, self.backbone_lr_scale)
        if learned := list(self.objective.parameters()):  # a rival's own layers
            groups.append({"params": learned, "lr": self.lr, "weight_decay": 0.0})
        # Lightning clips no gradients in front of a fused optimizer under mixed precision.
        clips = bool(self.trainer.gradient_clip_val) and str(self.trainer.precision).endswith("mixed")
        optimizer = create_optimizer(self.optimizer, groups, self.momentum, fused=not clips)
        schedule = poly_schedule(optimizer, max_steps, self.power, self.warmup_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _check_range(lr: float, momentum: float, **at_least_zero: float) -> None:
    """What torch would complain about only when training starts, or not at all."""
    if not 0 < lr < math.inf:
        raise InputError(f"lr={lr}: the learning rate must be above 0.")
    if not 0 <= momentum < 1:
        raise InputError(f"momentum={momentum}: must be in [0, 1).")
    for name, value in at_least_zero.items():
        if not 0 <= value < math.inf:
            raise InputError(f"{name}={value}: must be at least 0.")
