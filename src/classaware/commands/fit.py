"""``classaware fit``: train a network."""

import logging
import warnings
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
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
from classaware.training.callbacks import SaveLast, StepProgressBar
from classaware.training.card import NetworkCard, add_network_arguments, read_checkpoint
from classaware.training.objective import RivalFactory
from classaware.training.resume import check_resumable
from classaware.training.synchronization import NormSync
from classaware.training.task import SegmentationTask

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
}


def build_parser() -> ArgumentParser:
    """Every constructor argument of data, network, regularizer, training and trainer."""
    parser = ArgumentParser(prog="classaware fit", description="Train a segmentation network.", exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file, or the name of a packaged recipe; repeatable")
    parser.add_argument("--output", type=Path, default=Path("runs/latest"), help="folder for checkpoints and logs")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, sampling and augmentation")
    parser.add_argument(
        "--allow_shared_images", type=bool, default=False, help="train though val_split has images of train_split"
    )
    parser.add_argument("--ckpt_path", type=Path | None, default=None, help="checkpoint to resume from")
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
    parser.add_class_arguments(pl.Trainer, "trainer", skip=_TRAINER_OWN, instantiate=False)
    parser.set_defaults(
        {
            "trainer.check_val_every_n_epoch": None,
            "trainer.val_check_interval": 1000,
            "trainer.enable_model_summary": False,
            # Takes effect when there are several processes; PyTorch has it for CUDA alone.
            "trainer.sync_batchnorm": torch.cuda.is_available(),
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
    check_output(config.output, config.ckpt_path)
    print(fit(parser, config))


def fit(parser: ArgumentParser, config: Namespace) -> Path:
    """Train as ``config`` says; returns the last checkpoint's path."""
    check_numbers(config.seed, config.trainer)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    _quiet()
    _shorten_intervals(config.trainer)
    objects = _instantiate(parser, config)
    task = objects.task
    task.card = _card(config, objects.data, objects.trainer.world_size)
    check_splits(objects.data, config.allow_shared_images)
    if config.ckpt_path is not None:
        check_resumable(config.ckpt_path, task.card, task.objective, task.optimizer, config.trainer.max_steps)
    write_atomically(config.output / "config.yaml", parser.dump(config, skip_unset=False).encode())
    try:
        objects.trainer.fit(task, datamodule=objects.data, ckpt_path=config.ckpt_path, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise InputError("the device's memory is full: lower data.batch_size or data.crop_size.") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "batch norm cannot train on one value per channel: raise data.batch_size or data.crop_size."
        ) from error
    return config.output / "last.ckpt"


def _shorten_intervals(trainer: Namespace) -> None:
    """A run shorter than an interval is validated and logged at its end."""
    for name in ("val_check_interval", "log_every_n_steps"):
        trainer[name] = trainer.max_steps if trainer[name] is None else min(trainer[name], trainer.max_steps)
    trainer.val_check_interval *= trainer.accumulate_grad_batches  # Lightning counts batches


def _instantiate(parser: ArgumentParser, config: Namespace) -> Namespace:
    """Build what the configuration describes: data, network, regularizer, then the task and its trainer."""
    options = config.trainer.as_dict()
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
            **options,
            plugins=[NormSync()] if synchronize else None,
            logger=_loggers(config.output, config.ckpt_path is not None),
            callbacks=_callbacks(config.output),
            default_root_dir=config.output,
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise InputError(str(error)) from error
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
    apart = {"config", "output", "seed", "ckpt_path"}
    return {
        "seed": config.seed,
        "steps": trainer.max_steps,
        "batch_size": data.batch_size * (trainer.accumulate_grad_batches or 1) * processes,
        "crop_size": plain_values(data.crop_size),
        "image_size": plain_values(data.image_size),
        "weights": str(backbone.weights or backbone.pretrained),
        "processes": processes,
        "configuration": {key: value for key, value in plain_values(config).items() if key not in apart},
        "versions": versions(),
        "commit": commit(),
    }


def _callbacks(output: Path) -> list[Callback]:
    best = ModelCheckpoint(
        output, filename="best", monitor="val/miou", mode="max", save_top_k=1, enable_version_counter=False
    )
    return [best, SaveLast(output / "last.ckpt"), StepProgressBar()]


def _loggers(output: Path, resumed: bool) -> list[Any]:
    name = "logs"
    if resumed:  # the CSV logger empties a folder that it finds
        name = next(n for n in chain(["logs"], (f"logs-{i}" for i in count(2))) if not (output / n).exists())
    return [CSVLogger(output, name="", version=name), TensorBoardLogger(output, name="", version="tensorboard")]


def check_output(output: Path, ckpt_path: Path | None) -> None:
    """A finished or stopped run is not overwritten by accident, and a checkpoint to resume from must be readable."""
    if ckpt_path is not None:
        read_checkpoint(ckpt_path)
    elif (output / "last.ckpt").exists():
        raise InputError(
            f"output folder {output} already holds a run: resume it with --ckpt_path {output / 'last.ckpt'}, "
            "or choose another --output."
        )


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
    warnings.filterwarnings("ignore", message=".*The dirpath has changed.*")
    # The sampler goes on at the trainer's step, see StepSampler.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
