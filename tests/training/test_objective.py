"""The objective: its terms against independent ones, and their sum."""

import math
from functools import partial

import car_oracle
import pytest
import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation import resize_logits
from classaware.models import CPNetHead, DANetHead, FCNHead, OCRHead, Segmenter, SegmenterOutput
from classaware.regularization import ClassAwareRegularization, RarePairs
from classaware.training import Objective, affinity_loss, cross_entropy

CLASSES, IGNORE = 3, 255
SIDE = 9  # of the labels; the maps are 5 x 5, so that aligned corners take every second pixel


class Pyramid(nn.Module):
    """A backbone of two convolutions."""

    channels = (4, 6)
    strides = (2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.first(images).relu()
        return [x, self.second(x).relu()]


def network(head: object, car: str = "on", aux_channels: int = 0) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Pyramid(), head, CLASSES, car, "1x1", aux_channels=aux_channels)


def danet(**options: object) -> Segmenter:
    return network(partial(DANetHead, channels=8), **options)


def regularizer(**options: object) -> ClassAwareRegularization:
    return ClassAwareRegularization(CLASSES, IGNORE, "masked", **options)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (2, SIDE, SIDE), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = IGNORE
    return torch.rand(2, 3, SIDE, SIDE, generator=generator), labels


def made_up(taps: int = 2, aux: int = 2, affinity: bool = True, seed: int = 0) -> SegmenterOutput:
    """An output of random numbers, float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return SegmenterOutput(
        normal(2, CLASSES, 5, 5),
        tuple(normal(2, 8, 5, 5) for _ in range(taps)),
        tuple(normal(2, CLASSES, 3, 4) for _ in range(aux)),
        normal(2, 9, 9) if affinity else None,
    )


def cross_entropy_by_loops(logits: Tensor, labels: Tensor, average: str) -> float:
    """Bilinear with corners on corners, in float32 as everything at full size is, then pixel by pixel."""
    images, classes, height, width = logits.shape
    total, pixels = 0.0, 0
    for b in range(images):
        for i in range(SIDE):
            for j in range(SIDE):
                label = int(labels[b, i, j])
                if label == IGNORE:
                    pixels += average == "all"
                    continue
                y, x = i * (height - 1) / (SIDE - 1), j * (width - 1) / (SIDE - 1)
                values = [0.0] * classes
                for r in range(height):
                    for s in range(width):
                        share = max(0.0, 1 - abs(y - r)) * max(0.0, 1 - abs(x - s))
                        if share:
                            values = [v + share * float(logits[b, k, r, s]) for k, v in enumerate(values)]
                total += math.log(sum(math.exp(v) for v in values)) - values[label]
                pixels += 1
    return total / pixels


def car_by_loops(tap: Tensor, labels: Tensor) -> car_oracle.Result:
    spec = car_oracle.Spec.preset("masked", CLASSES, ignore_index=IGNORE)
    return car_oracle.terms(tap.tolist(), labels.tolist(), spec)


@pytest.mark.parametrize("average", ["valid", "all"])
@pytest.mark.parametrize("form", ["published", "released"])
def test_total_is_the_weighted_sum_of_independent_terms(average: str, form: str) -> None:
    """All at once: two taps, two auxiliary predictions, an affinity; average and weights wherever they apply."""
    weights = {"intra_c2p_weight": 0.7, "inter_c2c_weight": 1.3, "inter_c2p_weight": 0.4}
    objective = Objective(danet(), regularizer(**weights), average, 0.3, 0.6, form)
    output, (_, labels) = made_up(), batch()
    loss, terms = objective(output, labels)
    car = [car_by_loops(tap, labels) for tap in output.taps]
    expected = {
        "ce": cross_entropy_by_loops(output.logits, labels, average),
        "aux_ce": sum(cross_entropy_by_loops(logits, labels, average) for logits in output.aux_logits),
        "affinity": float(affinity_loss(output.affinity, labels, IGNORE, form)),
    }
    expected |= {name: sum(getattr(c, name) for c in car) for name in ("intra_c2p", "inter_c2c", "inter_c2p")}
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    weighted = (
        expected["ce"]
        + 0.3 * expected["aux_ce"]
        + 0.6 * expected["affinity"]
        + 0.7 * expected["intra_c2p"]
        + 1.3 * expected["inter_c2c"]
        + 0.4 * expected["inter_c2p"]
    )
    assert float(loss) == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (danet, {"ce", "intra_c2p", "inter_c2c", "inter_c2p"}),
        (partial(danet, aux_channels=8), {"ce", "intra_c2p", "inter_c2c", "inter_c2p", "aux_ce"}),
        (partial(danet, car="off"), {"ce"}),
        (partial(network, partial(CPNetHead, channels=8, grid=5), "off"), {"ce", "affinity"}),
        (partial(network, partial(OCRHead, channels=8), "off"), {"ce", "aux_ce"}),
        (partial(network, partial(FCNHead, channels=8), "off"), {"ce"}),
    ],
    ids=["danet", "danet with auxiliaries", "danet without car", "cpnet", "ocr", "fcn"],
)
def test_terms_are_those_the_network_has(build: object, names: set[str]) -> None:
    model = build()
    images, labels = batch()
    objective = Objective(model, regularizer())
    loss, terms = objective(model(images), labels)
    assert set(terms) == names
    assert loss.isfinite()
    assert set(objective(model.eval()(images), labels)[1]) == names - {"aux_ce", "affinity"}
    if "intra_c2p" not in names:
        assert len(objective.regularizers) == 0


def test_a_folded_network_has_nothing_for_car_to_look_at() -> None:
    model = danet().eval().fold()
    images, labels = batch()
    _, terms = Objective(model, regularizer())(model(images), labels)
    assert set(terms) == {"ce"}


def test_every_tap_has_running_centers_of_its_own() -> None:
    mine = regularizer(centers="ema")
    objective = Objective(danet(), mine)
    output, (_, labels) = made_up(), batch()
    objective(output, labels)
    assert objective.regularizers[0] is mine
    small = labels[:, ::2, ::2]
    for tap, each in zip(output.taps, objective.regularizers, strict=True):
        for k in range(CLASSES):
            pixels = tap.permute(0, 2, 3, 1)[small == k]
            torch.testing.assert_close(each.running.centers_KC[k].double(), pixels.mean(0))
    saved = {name for name in objective.state_dict() if name.endswith("centers_KC")}
    assert saved == {f"regularizers.{i}.running.centers_KC" for i in range(2)}


class Stub(nn.Module):
    """A rival with a parameter, which remembers what it was made from and shown."""

    def __init__(self, *arguments: int) -> None:
        super().__init__()
        self.arguments = arguments
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        self.seen.append((features, labels))
        return self.scale * features.square().mean()


@pytest.mark.parametrize(("car", "head", "width"), [("on", DANetHead, 8), ("off", DANetHead, 8), ("off", OCRHead, 16)])
def test_rivals_see_every_tap_and_are_added(car: str, head: type, width: int) -> None:
    """Without CAR the tap is as wide as the head's output."""
    model = network(partial(head, channels=8), car)
    objective = Objective(model, regularizer(), rival=Stub)
    images, labels = batch()
    output = model(images)
    loss, terms = objective(output, labels)
    assert [rival.arguments for rival in objective.rivals] == [(width, CLASSES, IGNORE)] * model.head.branches
    for rival, tap in zip(objective.rivals, output.taps, strict=True):
        assert tap.shape[1] == width
        ((features, seen),) = rival.seen
        assert features is tap
        assert seen is labels
    expected = sum(2 * float(tap.detach().square().mean()) for tap in output.taps)
    assert terms["rival"].item() == pytest.approx(expected, rel=1e-6)
    without, _ = Objective(model, regularizer())(output, labels)
    torch.testing.assert_close(loss - without, terms["rival"], rtol=1e-4, atol=1e-5)
    loss.backward()
    assert all(rival.scale.grad is not None for rival in objective.rivals)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_every_cross_entropy_weighs_rare_pairs(share: float) -> None:
    objective = Objective(danet(), regularizer(), rare_pairs=share)
    plain = Objective(danet(), regularizer())
    output, (_, labels) = made_up(), batch()
    weights = RarePairs(CLASSES, IGNORE)(labels)
    assert weights[labels != IGNORE].std() > 0.01
    _, terms = objective(output, labels)
    _, without = plain(output, labels)
    size = (labels.shape[-2], labels.shape[-1])

    def rare(logits: Tensor) -> float:
        return float(cross_entropy(resize_logits(logits, size), labels, IGNORE, weights=weights))

    expected = share * rare(output.logits) + (1 - share) * float(without["ce"])
    assert float(terms["ce"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["ce"]) != pytest.approx(float(without["ce"]), rel=1e-4)
    aux = share * sum(map(rare, output.aux_logits)) + (1 - share) * float(without["aux_ce"])
    assert float(terms["aux_ce"]) == pytest.approx(aux, rel=1e-5)
    assert "rarity.seen_KK" in objective.state_dict()
    assert "rarity.seen_KK" not in plain.state_dict()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(InputError, match="share of the cross-entropy"):
        Objective(danet(), regularizer(), rare_pairs=share)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InputError, match="'publish' is unknown"):
        Objective(danet(), regularizer(), affinity="publish")
