"""How strongly the presets pull at the features of one trained network, beside the cross-entropy.

    python studies/gradients.py RUN [--batches 24]

RUN is a folder of ``classaware fit`` with CAR. On its first training batches, in training mode and without a step, it
prints the norm of every term's gradient at the first tap over that of the cross-entropy's gradient there, and which
share of the squared norm of CAR's gradient falls on pixels of class 0, on unlabeled ones and on all others: means over
the batches; one without any gradient, for want of classes, is left out where it is a share.

The features are the same for all presets, so nothing but the form of the loss differs. They are those of a network that
was trained with one of them, which has least left to pull.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor
from torch.utils.data import DataLoader

from classaware.data import SegmentationData
from classaware.data.module import TrainSamples, collate
from classaware.data.sampler import StepSampler
from classaware.evaluation import resize_logits
from classaware.evaluation.formatting import markdown_table
from classaware.models import Segmenter
from classaware.regularization import ClassAwareRegularization
from classaware.regularization.labels import resize_labels
from classaware.training import load_network
from classaware.training.card import LAST, build_dataset
from classaware.training.loss import Average, cross_entropy

PRESETS: dict[str, dict[str, Any]] = {
    "released": {},
    "paper": {"preset": "paper"},
    "masked": {"preset": "masked"},
    "square-of-mean": {"preset": "masked", "reduction": "square_of_mean"},
    "masked-without-background": {"preset": "masked", "exclude": (0,)},
}
TERMS = ("intra_c2p", "inter_c2c", "inter_c2p", "total")


def look(
    network: Segmenter,
    batch: dict[str, Any],
    presets: dict[str, ClassAwareRegularization],
    ignore_index: int = 255,
    average: Average = "valid",
) -> dict[str, Tensor]:
    """By preset: norms of the terms' gradients over the cross-entropy's, then the shares by kind of pixel."""
    labels = batch["label"]
    output = network(batch["image"])
    tap = output.taps[0]
    resized = resize_logits(output.logits, (labels.shape[-2], labels.shape[-1]))
    (pull,) = torch.autograd.grad(cross_entropy(resized, labels, ignore_index, average), tap)
    at_tap = resize_labels(labels, (tap.shape[-2], tap.shape[-1]))
    unlabeled = at_tap == ignore_index
    kinds = ((at_tap == 0) & ~unlabeled, unlabeled, (at_tap != 0) & ~unlabeled)
    found = {"pixels": torch.stack([kind.float().mean() for kind in kinds])}
    for name, regularizer in presets.items():
        features = tap.detach().requires_grad_()
        terms = regularizer(features, labels)
        gradients = [torch.autograd.grad(getattr(terms, term), features, retain_graph=True)[0] for term in TERMS]
        ratios = [gradient.norm() / pull.norm() for gradient in gradients]
        squared = gradients[-1].square().sum(1)
        shares = [(squared * kind).sum() / squared.sum() for kind in kinds]
        found[name] = torch.stack([*ratios, *shares])
    return found


def rows(run: Path, batches: int) -> list[list[str]]:
    """Of a table: every preset's mean over the batches."""
    network, _ = load_network(run / LAST)
    network.train()
    configuration = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    data = configuration["data"] | {"num_workers": 0, "seed": configuration["seed"]}
    dataset = build_dataset(data.pop("dataset"))
    module = SegmentationData(dataset, **data)
    samples = dataset.samples(module.train_split)
    augmented = TrainSamples(dataset, samples, module.train_transform, module.seed)
    order = StepSampler(len(samples), module.batch_size, batches, module.seed, lambda: 0, 0, 1)
    loader = DataLoader(augmented, batch_sampler=order, collate_fn=collate)
    ignore, average = dataset.ignore_index, configuration["training"]["average"]
    presets = {name: ClassAwareRegularization(network.num_classes, ignore, **knobs) for name, knobs in PRESETS.items()}
    looks = [look(network, batch, presets, ignore, average) for batch in loader]
    means = {name: torch.stack([one[name] for one in looks]).nanmean(0).tolist() for name in looks[0]}
    pixels = means.pop("pixels")
    lines = [[name, *(f"{value:.3f}" for value in values)] for name, values in means.items()]
    return [["share of the pixels", *["–"] * len(TERMS), *(f"{value:.3f}" for value in pixels)], *lines]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--batches", type=int, default=24)
    options = parser.parse_args()
    torch.manual_seed(0)
    head = ["", *TERMS, "on class 0", "on unlabeled", "on others"]
    print("\n".join(markdown_table(head, rows(options.run, options.batches))))


if __name__ == "__main__":
    main()
