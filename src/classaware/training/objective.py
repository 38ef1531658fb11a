"""Everything that is minimized, term by term."""

import copy
from collections.abc import Callable
from typing import get_args

from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation import resize_logits
from classaware.models import Segmenter, SegmenterOutput
from classaware.regularization import ClassAwareRegularization, RarePairs
from classaware.rivals import Rival
from classaware.training.affinity import Affinity, affinity_loss
from classaware.training.loss import Average, cross_entropy

# Makes a loss on features and labels from (channels of the tap, number of classes, ignore index).
RivalFactory = Callable[[int, int, int], Rival]


class Objective(nn.Module):
    """Cross-entropy, CAR on every tap, and what the head is trained with beside them.

    Args:
        network: whose outputs are looked at; not kept.
        regularizer: CAR, used when ``network`` has its linear convolution. Taps beyond the first get a copy, for
            running centers belong to one tap.
        average: what a cross-entropy's sum is divided by: ``valid`` pixels, or ``all`` as in the authors' code.
        aux_weight: of the auxiliary logits' cross-entropies, summed (OCR, ACFNet, deep supervision).
        affinity_weight: of CPNet's affinity loss.
        affinity: its form, see :func:`affinity_loss`.
        rival: makes another loss on the taps, such as ``PixelContrast`` or ``CenterLoss``, to compare CAR with.
        rare_pairs: share, 0 to 1, of the cross-entropies that weighs pixels by :class:`RarePairs`.
    """

    def __init__(
        self,
        network: Segmenter,
        regularizer: ClassAwareRegularization,
        average: Average = "valid",
        aux_weight: float = 0.4,
        affinity_weight: float = 1.0,
        affinity: Affinity = "published",
        rival: RivalFactory | None = None,
        rare_pairs: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= rare_pairs <= 1:
            raise InputError(f"rare_pairs={rare_pairs}: must be a share of the cross-entropy, 0 to 1.")
        if affinity not in get_args(Affinity):
            raise InputError(f"affinity={affinity!r} is unknown; choose 'published' or 'released'.")
        taps = network.head.branches
        self.regularizers = nn.ModuleList(
            regularizer if i == 0 else copy.deepcopy(regularizer) for i in range(taps if network.uses_car else 0)
        )
        self.ignore_index = regularizer.ignore_index
        self.average: Average = average
        self.aux_weight = aux_weight
        self.affinity_weight = affinity_weight
        self.affinity: Affinity = affinity
        self.rare_pairs = rare_pairs
        self.rarity = RarePairs(network.num_classes, self.ignore_index) if rare_pairs else None
        width = network.head.tap_channels if network.uses_car else network.head.channels
        rivals = [] if rival is None else [rival(width, network.num_classes, self.ignore_index) for _ in range(taps)]
        self.rivals = nn.ModuleList(rivals)

    def forward(self, output: SegmenterOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms by name, unweighted. Labels are int64 (B, H, W); logits are resized to them."""
        weights = self._weights(labels)
        loss = self._cross_entropy(output.logits, labels, weights)
        terms = {"ce": loss}
        for i, (tap, regularizer) in enumerate(zip(output.taps, self.regularizers, strict=False)):
            car = regularizer(tap, labels)
            loss = loss + car.total
            named = {"intra_c2p": car.intra_c2p, "inter_c2c": car.inter_c2c, "inter_c2p": car.inter_c2p}
            terms |= named if i == 0 else {name: terms[name] + term for name, term in named.items()}
        if output.aux_logits:
            aux = [self._cross_entropy(logits, labels, weights) for logits in output.aux_logits]
            terms["aux_ce"] = sum(aux[1:], aux[0])
            loss = loss + self.aux_weight * terms["aux_ce"]
        if output.affinity is not None:
            terms["affinity"] = affinity_loss(output.affinity, labels, self.ignore_index, self.affinity)
            loss = loss + self.affinity_weight * terms["affinity"]
        if len(self.rivals):
            rivals = [rival(tap, labels) for rival, tap in zip(self.rivals, output.taps, strict=True)]
            terms["rival"] = sum(rivals[1:], rivals[0])
            loss = loss + terms["rival"]
        return loss, terms

    def _weights(self, labels: Tensor) -> Tensor | None:
        """Of the pixels in the cross-entropies."""
        if self.rarity is None:
            return None
        return 1 + self.rare_pairs * (self.rarity(labels) - 1)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        resized = resize_logits(logits, (labels.shape[-2], labels.shape[-1]))
        return cross_entropy(resized, labels, self.ignore_index, self.average, weights)
