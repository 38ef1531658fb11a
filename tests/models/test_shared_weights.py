"""Networks of one seed agree in all parts that they share: the ground of paired comparisons."""

import pytest
import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.models import HEADS, Backbone, Segmenter


def make(head: str, car: str, projection: str, initialization: str) -> dict[str, Tensor]:
    torch.manual_seed(7)
    backbone = Backbone("test_resnet", 8)
    network = Segmenter(backbone, HEADS[head], 5, car, projection, initialization=initialization)  # type: ignore[arg-type]
    return dict(network.named_parameters())


@pytest.mark.parametrize("initialization", ["glorot", "kaiming"])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_car_leaves_all_other_weights_as_they_are(head: str, initialization: str) -> None:
    without, with_car = (make(head, car, "1x1", initialization) for car in ("off", "on"))
    added = {name for name in with_car if name not in without}
    assert added
    assert all(".linear." in name for name in added)
    compared = [name for name in without if without[name].shape == with_car[name].shape]
    assert "classifier.weight" in compared
    for name in compared:
        torch.testing.assert_close(with_car[name], without[name], rtol=0, atol=0)


@pytest.mark.parametrize("initialization", ["glorot", "kaiming"])
@pytest.mark.parametrize("head", ["danet", "fcn", "self-attention"])
def test_as_the_identity_car_begins_as_the_baseline(head: str, initialization: str) -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def outputs(car: str, identity: bool) -> Tensor:
        torch.manual_seed(7)
        backbone = Backbone("test_resnet", 8)
        network = Segmenter(backbone, HEADS[head], 5, car, "1x1", initialization=initialization, identity=identity)  # type: ignore[arg-type]
        with torch.no_grad():
            return network.eval()(images).logits

    baseline = outputs("off", False)
    torch.testing.assert_close(outputs("on", True), baseline)
    assert not torch.allclose(outputs("on", False), baseline)
    torch.testing.assert_close(outputs("off", True), baseline, rtol=0, atol=0)


@pytest.mark.parametrize("head", ["caa", "ocr"])
def test_a_narrower_tap_cannot_be_the_identity(head: str) -> None:
    with pytest.raises(InputError, match="identity=true needs a tap as wide as the features"):
        Segmenter(Backbone("test_resnet", 8), HEADS[head], 5, "on", "1x1", identity=True)


@pytest.mark.parametrize("initialization", ["glorot", "kaiming"])
def test_the_projection_changes_nothing_but_itself(initialization: str) -> None:
    wide, narrow = (make("self-attention", "off", kind, initialization) for kind in ("3x3", "1x1"))
    others = [name for name in wide if not name.startswith("projections.") and wide[name].shape == narrow[name].shape]
    assert "classifier.weight" in others
    assert any(name.startswith("head.") for name in others)
    for name in others:
        torch.testing.assert_close(wide[name], narrow[name], rtol=0, atol=0)


def test_parts_do_not_repeat_each_other() -> None:
    torch.manual_seed(0)
    first, second = (make_again() for _ in range(2))
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    conv, linear = (first[f"projections.0.{name}.weight"].flatten() for name in ("conv.0", "linear"))
    assert conv.numel() == linear.numel()
    assert not torch.equal(conv, linear)
    two = make("danet", "on", "1x1", "glorot")
    assert not torch.equal(two["projections.0.linear.weight"], two["projections.1.linear.weight"])


def make_again() -> dict[str, Tensor]:
    return dict(Segmenter(Backbone("test_resnet", 8), HEADS["self-attention"], 5, "on", "1x1").named_parameters())


@pytest.mark.parametrize("initialization", ["glorot", "kaiming"])
def test_deep_supervision_changes_nothing_but_itself(initialization: str) -> None:
    def parameters(aux_channels: int) -> dict[str, Tensor]:
        torch.manual_seed(7)
        backbone, head = Backbone("test_resnet", 8), HEADS["self-attention"]
        network = Segmenter(backbone, head, 5, "on", aux_channels=aux_channels, initialization=initialization)  # type: ignore[arg-type]
        return dict(network.named_parameters())

    without, with_aux = parameters(0), parameters(16)
    assert set(with_aux) > set(without)
    for name, value in without.items():
        torch.testing.assert_close(with_aux[name], value, rtol=0, atol=0)
