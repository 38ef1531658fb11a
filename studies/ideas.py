"""Ideas for a better regularizer on the biased scenes, each trained like ``classaware fit --config biased-scenes``.

    python studies/ideas.py IDEA [--settled] [--seeds 0 1 2] [--output ideas.jsonl]

appends one line of JSON a training: mIoU and things' mIoU on seen and unseen pairs. What was predicted of each idea is
in studies/predictions.md, what came of it in docs/results/evidence.md. The ideas are in plain autograd on top of
``masked``; the one that is worth it belongs into `classaware.regularization`.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.commands import fit
from classaware.commands.configuration import expand_recipes
from classaware.data import BiasedScenes, SegmentationData
from classaware.evaluation import ConfusionMatrix, Inference, scores
from classaware.provenance import commit, versions
from classaware.regularization import ClassAwareRegularization
from classaware.regularization.labels import one_hot, resize_labels, split_valid
from classaware.regularization.module import ClassAwareTerms
from classaware.training import load_network, objective, task

SCENES = {"seed": 0, "train": 1200, "val": 100, "test": 400}
# Where a network learns to tell things by themselves and still leans on context. With the recipe's own settings (cue
# 96, SGD) it is caught in the middle of learning, and what comes out is chance: pairs of one seed differ by 5 points.
SETTLED = [
    "--data.dataset.cue=128",
    "--training.optimizer=adamw",
    "--training.lr=0.002",
    "--training.weight_decay=0.01",
]
MASKED = ["--regularizer.preset=masked"]


class Batch:
    """Features and labels of a batch as every idea needs them: B images, P pixels, K classes, C channels."""

    def __init__(self, car: ClassAwareRegularization, features: Tensor, labels: Tensor, cosine: bool = False) -> None:
        self.labels_BHW = labels
        self.x_BPC = features.float().flatten(2).transpose(1, 2)
        if cosine:
            self.x_BPC = F.normalize(self.x_BPC, dim=-1, eps=1e-6)
        size = (features.shape[-2], features.shape[-1])
        self.y_BP, self.valid_BP = split_valid(resize_labels(labels, size).flatten(1), car.num_classes, 255)
        self.own_BPK = one_hot(self.y_BP, self.valid_BP, car.num_classes)
        self.present_K = self.own_BPK.any(1).any(0)
        self.scale = 10.0 if cosine else features.shape[1] ** -0.5
        counts_K1 = self.own_BPK.sum((0, 1)).clamp(min=1).unsqueeze(-1)
        self.mu_KC = torch.einsum("bpk,bpc->kc", self.own_BPK.float(), self.x_BPC) / counts_K1
        if cosine:
            self.mu_KC = F.normalize(self.mu_KC, dim=-1, eps=1e-6)


def dependency(similarity: Tensor, other: Tensor, present: Tensor, margin: float, weight: Tensor | float = 1) -> Tensor:
    """Eqs. 6 and 13 of ``masked``: what a row's softmax gives to other classes beyond their share of the margin."""
    attention = similarity.masked_fill(~present, torch.finfo(similarity.dtype).min).softmax(-1)
    share = margin / (present.sum(-1, keepdim=True) - 1).clamp(min=1)
    return ((attention - share).relu() * other * weight).sum(-1)


class Idea(ClassAwareRegularization):
    """``masked``, with one thing changed."""

    cosine = False

    def forward(self, features: Tensor, labels: Tensor) -> ClassAwareTerms:
        """As the parent."""
        batch = Batch(self, features, labels, self.cosine)
        intra, c2c, c2p = self.intra(batch), self.c2c(batch), self.c2p(batch)
        total = self.intra_c2p_weight * intra + self.inter_c2c_weight * c2c + self.inter_c2p_weight * c2p
        return ClassAwareTerms(intra, c2c, c2p, total)

    def pixel_weights(self, batch: Batch) -> Tensor:
        """(B, P), sum 1."""
        return batch.valid_BP / batch.valid_BP.sum().clamp(min=1)

    def cost(self, dependency: Tensor) -> Tensor:
        """Of a row."""
        return dependency.square()

    def intra(self, batch: Batch) -> Tensor:
        """Eqs. 2 and 3."""
        squared_BPC = (batch.mu_KC.detach()[batch.y_BP] - batch.x_BPC).square()
        squared_BP = squared_BPC.sum(-1) if self.cosine else squared_BPC.mean(-1)
        return (self.pixel_weights(batch) * squared_BP).sum()

    def keys(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Centers to compare with, and which there are."""
        return batch.mu_KC.detach(), batch.present_K

    def c2c(self, batch: Batch) -> Tensor:
        """Eqs. 4 to 7."""
        key_KC, known_K = self.keys(batch)
        other_KK = ~torch.eye(self.num_classes, dtype=torch.bool) & known_K
        row_K = dependency(batch.mu_KC @ key_KC.T * batch.scale, other_KK, known_K.unsqueeze(0), self.c2c_margin)
        return (self.cost(row_K) * batch.present_K).sum() / batch.present_K.sum().clamp(min=1)

    def pair_weights(self, batch: Batch) -> Tensor | float:
        """(B, P, K): how much a dependency on each other class counts."""
        return 1

    def c2p(self, batch: Batch) -> Tensor:
        """Eqs. 8 to 14."""
        mu_KC, present_K = batch.mu_KC.detach(), batch.present_K
        similarity_BPK = torch.where(batch.own_BPK, mu_KC.square().sum(-1), batch.x_BPC @ mu_KC.T) * batch.scale
        other_BPK = ~batch.own_BPK & present_K
        row_BP = dependency(similarity_BPK, other_BPK, present_K, self.c2p_margin, self.pair_weights(batch))
        return (self.pixel_weights(batch) * self.cost(row_BP)).sum()


class Cosine(Idea):
    """Cosines with temperature 0.1, distances of unit vectors."""

    cosine = True


class Logarithm(Idea):
    """-log(1 - dependency) instead of its square."""

    def cost(self, dependency: Tensor) -> Tensor:
        """Of a row."""
        return -torch.log1p(-dependency.clamp(max=1 - 1e-6))


class Touching(Idea):
    """Counts what touches what as training goes on."""

    def touching(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shares of what a class touches, (B, K, K) in this batch's images and (K, K) in all images so far."""
        K, y_BHW = self.num_classes, batch.labels_BHW
        counts_BKK = torch.zeros(len(y_BHW), K, K)
        for image, y_HW in enumerate(y_BHW):
            for one, other in ((y_HW[1:], y_HW[:-1]), (y_HW[:, 1:], y_HW[:, :-1])):
                border = (one != other) & (one < K) & (other < K)
                pairs = torch.cat([one[border] * K + other[border], other[border] * K + one[border]])
                counts_BKK[image] += torch.bincount(pairs, minlength=K * K).view(K, K)
        share_BKK = counts_BKK / counts_BKK.sum(-1, keepdim=True).clamp(min=1)
        self.seen_KK = getattr(self, "seen_KK", 0) + share_BKK.sum(0)
        return share_BKK, self.seen_KK / self.seen_KK.sum(-1, keepdim=True).clamp(min=1e-6)


class Rarity(Touching):
    """Pixels weigh by how rare what their class touches is in training, 1/10 to 10."""

    most = 10.0

    def pixel_weights(self, batch: Batch) -> Tensor:
        """(B, P), sum 1."""
        if not hasattr(batch, "weights_BP"):
            share_BKK, usual_KK = self.touching(batch)
            familiar_BK = (share_BKK * usual_KK).sum(-1).clamp(min=1e-4)
            weight_BK = (usual_KK.square().sum(-1) / familiar_BK).clamp(1 / self.most, self.most)
            weight_BK = torch.where(share_BKK.sum(-1) > 0, weight_BK, 1.0)
            weights_BP = weight_BK.gather(1, batch.y_BP) * batch.valid_BP
            batch.weights_BP = weights_BP / weights_BP.sum().clamp(min=1e-6)  # type: ignore[attr-defined]
        return batch.weights_BP  # type: ignore[attr-defined,no-any-return]


class RareLogarithm(Rarity, Logarithm):
    """Both."""


class RareLikelihood(RareLogarithm):
    """And Eq. 10 left out: inter_c2p is the negative log-likelihood of the own class among the centers (margin 0)."""

    def c2p(self, batch: Batch) -> Tensor:
        """With the pixel's own similarity to its class."""
        mu_KC, present_K = batch.mu_KC.detach(), batch.present_K
        similarity_BPK = batch.x_BPC @ mu_KC.T * batch.scale
        row_BP = dependency(similarity_BPK, ~batch.own_BPK & present_K, present_K, self.c2p_margin)
        return (self.pixel_weights(batch) * self.cost(row_BP)).sum()


class Pairs(Touching):
    """In inter_c2p the other classes weigh by how often the pair touches in training, half and half with 1."""

    def pair_weights(self, batch: Batch) -> Tensor:
        """(B, P, K)."""
        _, usual_KK = self.touching(batch)
        return (0.5 + 0.5 * usual_KK * (self.num_classes - 1))[batch.y_BP]


class Balanced(Touching):
    """Centers that all contexts have an equal share in: means over what a class touches most, remembered for each."""

    def balanced_centers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(K, C), and which there are (K,)."""
        if not hasattr(batch, "balanced_KC"):
            share_BKK, _ = self.touching(batch)
            own_BPK, K = batch.own_BPK.float(), self.num_classes
            center_BKC = torch.einsum("bpk,bpc->bkc", own_BPK, batch.x_BPC.detach())
            center_BKC = center_BKC / own_BPK.sum(1).clamp(min=1).unsqueeze(-1)
            if not hasattr(self, "bank_KKC"):
                self.bank_KKC = center_BKC.new_zeros(K, K, center_BKC.shape[-1])
                self.known_KK = torch.zeros(K, K, dtype=torch.bool)
            for image, index in (own_BPK.sum(1) > 0).nonzero().tolist():
                context = int(share_BKK[image, index].argmax()) if share_BKK[image, index].any() else index
                keep = 0.9 if self.known_KK[index, context] else 0.0
                old, new = self.bank_KKC[index, context], center_BKC[image, index]
                self.bank_KKC[index, context] = keep * old + (1 - keep) * new
                self.known_KK[index, context] = True
            known_KK1 = self.known_KK.unsqueeze(-1)
            mean_KC = (self.bank_KKC * known_KK1).sum(1) / known_KK1.sum(1).clamp(min=1)
            batch.balanced_KC = mean_KC  # type: ignore[attr-defined]
        return batch.balanced_KC, self.known_KK.any(1)  # type: ignore[attr-defined]

    def intra(self, batch: Batch) -> Tensor:
        """To the balanced center."""
        squared_BP = (self.balanced_centers(batch)[0][batch.y_BP] - batch.x_BPC).square().mean(-1)
        return (self.pixel_weights(batch) * squared_BP).sum()

    def keys(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Balanced ones, of all classes."""
        return self.balanced_centers(batch)

    def c2p(self, batch: Batch) -> Tensor:
        """Against the balanced centers."""
        mu_KC, known_K = self.balanced_centers(batch)
        similarity_BPK = torch.where(batch.own_BPK, mu_KC.square().sum(-1), batch.x_BPC @ mu_KC.T) * batch.scale
        row_BP = dependency(similarity_BPK, ~batch.own_BPK & known_K, known_K, self.c2p_margin)
        return (self.pixel_weights(batch) * self.cost(row_BP)).sum()


class RareAndBalanced(Rarity, Balanced):
    """Both."""


class Bank(Idea):
    """Keys of absent classes in inter_c2c are remembered."""

    def keys(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Centers to compare with, and which there are."""
        mu_KC, present_K1 = batch.mu_KC.detach(), batch.present_K.unsqueeze(-1)
        if not hasattr(self, "bank_KC"):
            self.bank_KC, self.known_K = torch.zeros_like(mu_KC), torch.zeros_like(batch.present_K)
        keep_K1 = torch.where(self.known_K, 0.9, 0.0).unsqueeze(-1)
        self.bank_KC = torch.where(present_K1, keep_K1 * self.bank_KC + (1 - keep_K1) * mu_KC, self.bank_KC)
        self.known_K = self.known_K | batch.present_K
        return torch.where(present_K1, mu_KC, self.bank_KC), self.known_K


class Scheduled(ClassAwareRegularization):
    """Weights that go from ``first`` to ``last`` times themselves over ``steps``."""

    first, last, steps, calls = 0.0, 1.0, 400, 0

    def forward(self, features: Tensor, labels: Tensor) -> ClassAwareTerms:
        """As the parent."""
        self.calls += 1
        terms = super().forward(features, labels)
        factor = self.first + (self.last - self.first) * min(self.calls / self.steps, 1)
        return terms._replace(total=terms.total * factor)


class Fade(Scheduled):
    """To 0 at the end."""

    first, last, steps = 1.0, 0.0, 800


class RareCrossEntropy(objective.Objective):
    """A control: the cross-entropy's pixels weigh as in `Rarity`, with CAR or without."""

    most, share = 10.0, 1.0

    def _weights(self, labels: Tensor) -> Tensor:
        self.context = getattr(self, "context", None) or Rarity(len(BiasedScenes.class_names), preset="masked")
        self.context.most = self.most
        batch = Batch(self.context, torch.zeros(*labels.shape)[:, None], labels)
        rare_BP = self.context.pixel_weights(batch) * batch.valid_BP.sum()
        return (self.share * rare_BP + 1 - self.share).view_as(labels)


class Thrice(RareCrossEntropy):
    """1/3 to 3."""

    most = 3.0


class Half(RareCrossEntropy):
    """Half of it is the plain cross-entropy."""

    share = 0.5


class Quarter(RareCrossEntropy):
    """A quarter of it is weighed."""

    share = 0.25


class TwoDepths(objective.Objective):
    """A second tap, by a linear layer of its own, on the backbone's last map."""

    def __init__(self, network: Any, regularizer: ClassAwareRegularization, *rest: Any) -> None:
        super().__init__(network, regularizer, *rest)
        self.linear = nn.Conv2d(network.backbone.channels[-1], 128, 1)
        self.deep = type(regularizer)(regularizer.num_classes, preset="masked")
        network.backbone.register_forward_hook(lambda module, inputs, maps: setattr(self, "seen", maps[-1]))

    def forward(self, output: Any, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As the parent."""
        loss, terms = super().forward(output, labels)
        return loss + self.deep(self.linear(self.seen), labels).total, terms


CAR = ["--config", "car"]
IDENTITY = [*CAR, "--network.identity=true"]
Setting = tuple[list[str], type[ClassAwareRegularization], type[objective.Objective]]


def setting(arguments: list[str], car: type = ClassAwareRegularization, whole: type = objective.Objective) -> Setting:
    """Arguments of fit, the regularizer and what is minimized."""
    return arguments, car, whole


def weights(intra: float, c2c: float, c2p: float) -> list[str]:
    """Options for the three weights."""
    names = ("intra_c2p", "inter_c2c", "inter_c2p")
    return [f"--regularizer.{name}_weight={value}" for name, value in zip(names, (intra, c2c, c2p), strict=True)]


MARGINS_0 = ["--regularizer.c2c_margin=0", "--regularizer.c2p_margin=0"]
IDEAS: dict[str, Setting] = {
    "baseline": setting([]),
    "linear": setting(CAR + weights(0, 0, 0)),
    "released": setting(CAR),
    "masked": setting(CAR + MASKED),
    "squares-margins-0": setting(CAR + MASKED + MARGINS_0),
    "memory": setting([*CAR, *MASKED, "--regularizer.centers=ema"]),
    "image": setting([*CAR, *MASKED, "--regularizer.centers=image"]),
    "intra": setting(CAR + MASKED + weights(1, 0, 0)),
    "c2c": setting(CAR + MASKED + weights(0, 1, 0)),
    "no-intra": setting(CAR + MASKED + weights(0, 1, 1)),
    "cosine": setting(CAR + MASKED, Cosine),
    "logarithm": setting(CAR + MASKED, Logarithm),
    "rarity": setting(CAR + MASKED, Rarity),
    "pairs": setting(CAR + MASKED, Pairs),
    "balanced": setting(CAR + MASKED, Balanced),
    "rarity-balanced": setting(CAR + MASKED, RareAndBalanced),
    "rarity-no-intra": setting(CAR + MASKED + weights(0, 1, 1), Rarity),
    "rarity-logarithm": setting(CAR + MASKED + MARGINS_0 + weights(0, 1, 1), RareLogarithm),
    "rarity-likelihood": setting(CAR + MASKED + MARGINS_0 + weights(0, 1, 1), RareLikelihood),
    "rarity-likelihood-3": setting(CAR + MASKED + MARGINS_0 + weights(0, 0, 3), RareLikelihood),
    "rarity-cross-entropy": setting([], ClassAwareRegularization, RareCrossEntropy),
    "bank": setting(CAR + MASKED, Bank),
    "rarity-cross-entropy-3": setting([], ClassAwareRegularization, Thrice),
    "rarity-cross-entropy-half": setting([], ClassAwareRegularization, Half),
    "rarity-cross-entropy-quarter": setting([], ClassAwareRegularization, Quarter),
    "masked-rarity-cross-entropy": setting(CAR + MASKED, ClassAwareRegularization, RareCrossEntropy),
    "linear-rarity-cross-entropy": setting(CAR + weights(0, 0, 0), ClassAwareRegularization, RareCrossEntropy),
    "identity-linear": setting(IDENTITY + weights(0, 0, 0)),
    "identity-released": setting(IDENTITY),
    "identity-masked": setting(IDENTITY + MASKED),
    "identity-rarity-no-intra": setting(IDENTITY + MASKED + weights(0, 1, 1), Rarity),
    "identity-released-rarity-half": setting(IDENTITY, ClassAwareRegularization, Half),
    "identity-released-rarity-quarter": setting(IDENTITY, ClassAwareRegularization, Quarter),
    "ramp": setting(CAR + MASKED, Scheduled),
    "fade": setting(CAR + MASKED, Fade),
    "depth": setting(CAR + MASKED, ClassAwareRegularization, TwoDepths),
}


def train(idea: str, seed: int, output: Path, settled: bool) -> Path:
    """One training; returns the checkpoint."""
    arguments, car, whole = IDEAS[idea]
    given = ["--config", "biased-scenes", *(SETTLED if settled else []), *arguments]
    given += [f"--seed={seed}", f"--output={output}"]
    given += [f"--data.dataset.{name}={value}" for name, value in SCENES.items()]
    fit.ClassAwareRegularization = car  # type: ignore[misc]
    task.Objective = whole  # type: ignore[misc]
    parser = fit.build_parser()
    return fit.fit(parser, parser.parse_args(expand_recipes(given)))


def measure(checkpoint: Path) -> dict[str, float]:
    """mIoU in percent on both test splits, over all classes and over things."""
    trained, card = load_network(checkpoint)
    network, dataset = trained.fold().eval(), BiasedScenes(**card.dataset["init_args"])
    inference, found = Inference((128, 128)), {}
    predict: Callable[..., Tensor] = partial(inference.predict, network)
    for split in ("seen", "unseen"):
        confusion = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
        loader = SegmentationData(dataset, eval_batch_size=20, num_workers=0).eval_dataloader(split, 0, 1)
        for batch in loader:
            label = batch["label"]
            confusion.update(predict(batch["image"], (label.shape[-2], label.shape[-1])), label)
        result = scores(confusion.compute(), list(dataset.class_names))
        found |= {split: 100 * result.mean_iou, f"{split}_things": 100 * result.mean_iou_over(dataset.things)}
    return found


def main() -> None:
    """Train one idea with some seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idea", choices=sorted(IDEAS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--settled", action="store_true", help="with cue 128 and AdamW")
    parser.add_argument("--output", type=Path, default=Path("ideas.jsonl"))
    parser.add_argument("--runs", type=Path, default=Path("runs/ideas"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        checkpoint = train(options.idea, seed, options.runs / f"{options.idea}-{seed}", options.settled)
        with torch.inference_mode():
            line = {"name": options.idea, "settled": options.settled, "seed": seed, **measure(checkpoint)}
        line |= {"commit": commit(), "versions": versions()}
        with options.output.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
