"""``classaware fit``: train a network."""

import logging
import shlex
import sys
import warnings
from argparse import SUPPRESS
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from classaware.commands.checks import check_numbers
from classaware.commands.choices import refuse_bases
from classaware.commands.configuration import expand_recipes, plain_values
from classaware.data import SegmentationData
from classaware.data.shared import shared_images
from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.files import write_atomically
from classaware.provenance import commit, versions
from classaware.regularization import ClassAwareRegularization
from classaware.training.alone import alone, occupied
from classaware.training.callbacks import StepProgressBar, StepSeeds
from classaware.training.card import LAST, NetworkCard, add_network_arguments
from classaware.training.checkpoints import SaveBest, SaveLast
from classaware.training.determinism import arithmetic, deterministic
from classaware.training.launch import check_processes, follow_torchrun
from classaware.training.loops import count_in_steps
from classaware.training.objective import RivalFactory
from classaware.training.precision import default_precision
from classaware.training.preemption import Stopped
from classaware.training.resume import BEGINNING, Start, check_resumable, checkpoints_in, find_start
from classaware.training.run_log import RunLog
from classaware.training.saving import DurableCheckpointIO
from classaware.training.synchronization import NormSync
from classaware.training.task import SegmentationTask
from classaware.training.weights import is_released

# Set here: logs, checkpoints and the progress bar have one right place each, and our samplers know their process.
_TRAINER_OWN = {
    "logger",
    "callbacks",
    "default_root_dir",
    "enable_progress_bar",
    "enable_checkpointing",
    "plugins",
    "use_distributed_sampler",
    "barebones",
    "deterministic",
}

# Precisions that halve the weights, too.
_HALF = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")


def build_parser() -> ArgumentParser:
    """Every constructor argument of data, network, regularizer, training and trainer."""
    parser = ArgumentParser(prog="classaware fit", description="Train a segmentation network.", exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file, or the name of a packaged recipe; repeatable")
    parser.add_argument("--output", type=Path, default=Path("runs/latest"), help="folder for checkpoints and logs")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, sampling and augmentation")
    parser.add_argument(
        "--deterministic",
        type=bool,
        default=False,
        help="bitwise equal weights for equal seeds, on CUDA too (slower there); an operation that cannot raises",
    )
    parser.add_argument(
        "--allow_shared_images", type=bool, default=False, help="train though val_split has images of train_split"
    )
    parser.add_argument(
        "--ckpt_path",
        type=Path | None,
        default=None,
        help="checkpoint to resume from; with --resume true only where --output holds no whole one",
    )
    parser.add_argument(
        "--resume",
        type=bool,
        default=False,
        help="'--resume true' goes on from the last whole checkpoint in --output, whatever --ckpt_path says; where "
        "there is none, it begins (from --ckpt_path if given)",
    )
    parser.add_argument("--save_every", type=int, default=200, help="steps from one checkpoint to the next")
    parser.add_class_arguments(SegmentationData, "data", skip={"seed"})
    add_network_arguments(parser)
    parser.add_class_arguments(ClassAwareRegularization, "regularizer")
    parser.add_argument(
        "--rival", type=RivalFactory | None, default=None, help="another loss on the tap: PixelContrast or CenterLoss"
    )
    # At data.image_size, as in training.
    parser.add_class_arguments(Inference, "inference", skip={"image_size"}, instantiate=False)
    parser.add_class_arguments(
        SegmentationTask, "training", skip={"network", "regularizer", "rival", "inference"}, instantiate=False
    )
    parser.add_class_arguments(pl.Trainer, "trainer", skip=_TRAINER_OWN | {"precision"}, instantiate=False)
    parser.add_argument(
        "--trainer.precision",
        type=signature(pl.Trainer).parameters["precision"].annotation,
        default=None,
        help="of computing; null: bf16-mixed on a CUDA device that has it, else 32-true",
    )
    # Configurations that earlier versions wrote have it.
    parser.add_argument("--trainer.deterministic", type=bool | None, default=None, help=SUPPRESS)
    parser.set_defaults(
        {
            "trainer.check_val_every_n_epoch": None,
            "trainer.val_check_interval": 1000,
            "trainer.enable_model_summary": False,
            "trainer.sync_batchnorm": True,  # takes effect where there are several processes
        }
    )
    parser.link_arguments("data", "network.num_classes", lambda data: data.num_classes, apply_on="instantiate")
    parser.link_arguments("data", "regularizer.num_classes", lambda data: data.num_classes, apply_on="instantiate")
    parser.link_arguments("data", "regularizer.ignore_index", lambda data: data.ignore_index, apply_on="instantiate")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Parse, check everything that can be checked, train."""
    parser = build_parser()
    config = parser.parse_args(expand_recipes(arguments))
    refuse_bases(config)
    if config.ckpt_path is not None and is_released(config.ckpt_path):
        raise InputError(f"{config.ckpt_path} holds a network's weights alone: resume from a run's last.ckpt.")
    seen = checkpoints_in(config.output)
    start = find_start(config.output, config.ckpt_path, config.resume)
    if start.note:
        rank_zero_only(print)(f"classaware fit: {start.note}", file=sys.stderr)
    with deterministic(config.deterministic):
        try:
            path = fit(parser, config, start, seen)
        except Stopped as stopped:
            if stopped.speaks:
                print(f"classaware fit: {_after_stop(stopped, config)}", file=sys.stderr)
            raise
    rank_zero_only(print)(path)


def fit(
    parser: ArgumentParser, config: Namespace, start: Start = BEGINNING, seen: dict[str, int] | None = None
) -> Path:
    """Train as ``config`` says; returns the last checkpoint's path.

    ``seen`` are the :func:`checkpoints_in` the output from which ``start`` follows: no other process may have written
    there since.
    """
    check_numbers(config.seed, config.trainer)
    if config.save_every < 1:
        raise InputError(f"save_every={config.save_every}: must be at least 1.")
    if config.deterministic and config.trainer.benchmark:
        raise InputError("trainer.benchmark=true chooses algorithms by their speed: leave it out with --deterministic.")
    if config.trainer.deterministic:
        raise InputError("trainer.deterministic is --deterministic now: give that instead.")
    if str(config.trainer.precision) in _HALF:
        raise InputError(
            f"trainer.precision={config.trainer.precision}: weights in half precision are not supported. Use 16-mixed "
            "or bf16-mixed."
        )
    config.trainer.precision = config.trainer.precision or default_precision(config.trainer.accelerator)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    _quiet()
    objects = _instantiate(parser, config, start)
    task = objects.task
    task.card = _card(config, objects.data, objects.trainer.world_size)
    check_splits(objects.data, config.allow_shared_images)
    if start.checkpoint is not None:
        check_resumable(start.checkpoint, task.card, task.objective, task.optimizer)
        if start.is_end(config.trainer.max_steps):
            return _already_done(start.checkpoint, start.step, config)
    with alone(config.output):
        # Only the process that holds the lock writes: the others may look when it has begun.
        if seen not in (None, checkpoints_in(config.output)) and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            raise occupied(config.output)
        _write_configuration(parser, config)
        _train(objects, start)
    return config.output / LAST


def _train(objects: Namespace, start: Start) -> None:
    """What ends it early gets a line that says what to do."""
    try:
        objects.trainer.fit(objects.task, datamodule=objects.data, ckpt_path=start.checkpoint, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise InputError("the device's memory is full: lower data.batch_size or data.crop_size.") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "batch norm cannot train on one value per channel: raise data.batch_size or data.crop_size."
        ) from error


def _already_done(checkpoint: Path, step: int, config: Namespace) -> Path:
    """For who gives the same command again and again that is no error."""
    if not config.resume:
        raise InputError(
            f"checkpoint {checkpoint} is at step {step} and trainer.max_steps={config.trainer.max_steps}: there is "
            "nothing left to train."
        )
    return checkpoint


def _write_configuration(parser: ArgumentParser, config: Namespace) -> None:
    """What the run is; where this start of it begins is no part of that."""
    written = config.clone()
    written.ckpt_path, written.resume = None, False
    write_atomically(config.output / "config.yaml", parser.dump(written, skip_unset=False).encode())


def _after_stop(stopped: Stopped, config: Namespace) -> str:
    """One line: what happened, and how to go on."""
    file, folder = (shlex.quote(str(path)) for path in (config.output / "config.yaml", config.output))
    again = f"classaware fit --config {file} --output {folder} --resume true"
    if dist.is_torchelastic_launched():
        again = "the same command with --resume true"
    done = f"{stopped.name} at step {stopped.step} of {config.trainer.max_steps}"
    return f"stopped by {done}; " + (f"to go on: {again}" if stopped.step else "nothing was saved yet.")


def _trainer_options(trainer: Namespace) -> dict[str, Any]:
    """A run shorter than an interval is validated and logged at its end."""
    options: dict[str, Any] = trainer.as_dict()
    del options["deterministic"]
    for name in ("val_check_interval", "log_every_n_steps"):
        options[name] = trainer.max_steps if options[name] is None else min(options[name], trainer.max_steps)
    options["val_check_interval"] *= trainer.accumulate_grad_batches  # Lightning counts batches
    return options


def _instantiate(parser: ArgumentParser, config: Namespace, start: Start) -> Namespace:
    """Build what the configuration describes: data, network, regularizer, then the task and its trainer."""
    options = _trainer_options(config.trainer)
    synchronize = options.pop("sync_batchnorm")
    try:
        objects = parser.instantiate(config)
        objects.data.seed = config.seed
        objects.task = SegmentationTask(
            objects.network,
            objects.regularizer,
            rival=objects.rival,
            inference=Inference(objects.data.image_size, **config.inference.as_dict()),
            **config.training.as_dict(),
        )
        objects.trainer = pl.Trainer(
            **follow_torchrun(options),
            plugins=[DurableCheckpointIO(), *([NormSync()] if synchronize else [])],
            logger=[log := RunLog(config.output / "logs" / "metrics.csv", start.in_place), _tensorboard(config, start)],
            callbacks=_callbacks(config, start, log),
            default_root_dir=config.output,
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise InputError(str(error)) from error
    check_processes(objects.trainer)
    count_in_steps(objects.trainer)
    return objects


def _card(config: Namespace, data: SegmentationData, processes: int) -> NetworkCard:
    network = config.network.as_dict()
    # Whoever loads the checkpoint has the trained weights and needs neither download nor file.
    network["backbone"] |= {"pretrained": "no", "weights": None}
    return NetworkCard(
        network=network | {"num_classes": data.num_classes},
        class_names=list(data.dataset.class_names),
        palette=[list(color) for color in data.dataset.palette],
        ignore_index=data.ignore_index,
        image_size=None if data.image_size is None else list(data.image_size),
        dataset=plain_values(config.data.dataset),
        inference=plain_values(config.inference),
        training=_training(config, processes),
    )


def _training(config: Namespace, processes: int) -> dict[str, Any]:
    """What results are compared by, the most asked for first, and the whole configuration."""
    backbone, data, trainer = config.network.backbone, config.data, config.trainer
    apart = {"config", "output", "seed", "ckpt_path", "resume", "save_every"}
    return {
        "seed": config.seed,
        "steps": trainer.max_steps,
        "batch_size": data.batch_size * (trainer.accumulate_grad_batches or 1) * processes,
        "crop_size": plain_values(data.crop_size),
        "image_size": plain_values(data.image_size),
        "weights": str(backbone.weights or backbone.pretrained),
        "processes": processes,
        "arithmetic": arithmetic() | {"precision": config.trainer.precision},
        "configuration": {key: value for key, value in plain_values(config).items() if key not in apart},
        "versions": versions(),
        "commit": commit(),
    }


def _callbacks(config: Namespace, start: Start, log: RunLog) -> list[Callback]:
    last = SaveLast(config.output, config.save_every, log, start.from_last)
    return [StepSeeds(config.seed), SaveBest(config.output), last, StepProgressBar()]


def _tensorboard(config: Namespace, start: Start) -> TensorBoardLogger:
    # What an earlier process logged from the purged step on is not shown.
    return TensorBoardLogger(config.output, name="", version="tensorboard", purge_step=start.step)


def check_splits(data: SegmentationData, allow_shared_images: bool) -> None:
    """Raise ``InputError`` for a split that is not there, or for images in both: validation would be worth nothing."""
    train, val = (data.dataset.samples(split) for split in (data.train_split, data.val_split))
    if allow_shared_images or data.train_split == data.val_split:
        return
    if shared := shared_images(train, val):
        raise InputError(
            f"{len(shared)} images of {data.val_split!r} are in {data.train_split!r} too, first {shared[0][1].image} "
            f"(there {shared[0][0].image}): take them out of one of the two, or give --allow_shared_images true."
        )


def _quiet() -> None:
    """Only what concerns the user: no advertisement, no advice on the number of workers, no news of torch's own."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # every attempt of a download without a network
    logging.getLogger("timm").setLevel(logging.ERROR)  # classifier weights that a feature extractor leaves unused
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # The confusion matrix is summed over the processes before it is logged.
    warnings.filterwarnings("ignore", message=".*recommended to use `self.log.*sync_dist=True.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*Experiment logs directory .* exists and is not empty.*")
    # Runs of earlier versions had Lightning's callback for the best checkpoint, see SaveBest.
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
    # The sampler goes on at the trainer's step, see StepSampler.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
