"""What keeps a file from being written that computes something else."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from classaware.deployment import exporting, onnx_format
from classaware.deployment.comparing import compare
from classaware.deployment.exporting import check, export_checkpoint
from classaware.deployment.tracing import TRACES_FREE_SIZES
from classaware.errors import InputError
from classaware.models import SegmenterOutput
from classaware.training.card import load_network

pytestmark = pytest.mark.skipif(not TRACES_FREE_SIZES, reason="exporting for any size needs torch 2.13 or newer")


class Linear(nn.Module):
    """Logits 0, 1 and 2 times the first channel, at half the size."""

    def __init__(self, added: float = 0.0, above: int = 10**6) -> None:
        super().__init__()
        self.added, self.above = added, above

    def forward(self, images: Tensor) -> SegmenterOutput:
        logits = images[:, :1, ::2, ::2] * torch.arange(3.0).view(1, 3, 1, 1)
        if images.shape[-1] > self.above:
            logits[:, 0, 0, 0] += self.added
        return SegmenterOutput(logits, ())


def test_the_largest_difference_is_found_at_every_size() -> None:
    same = compare(Linear(), Linear(), full_size=False)
    assert [each.difference for each in same] == [0, 0, 0]
    assert [each.other_class for each in same] == [0, 0, 0]
    other = compare(Linear(), Linear(8.0, 200), full_size=False)
    assert [each.difference for each in other] == pytest.approx([0, 8, 0])
    one = other[1]
    assert (one.images, one.height, one.width) == (2, 97, 210)
    assert one.relative == pytest.approx(8 / 2, rel=0.01)  # the largest logit is 2 times nearly 1
    assert one.other_class == pytest.approx(1 / (49 * 105))
    with pytest.raises(InputError, match=r"differs from the trained one by 8 .*2 images of 97 x 210: nothing was writ"):
        check(other)
    check(same)


def test_full_size_is_the_images_size() -> None:
    def large(images: Tensor) -> SegmenterOutput:
        logits = Linear()(images).logits
        size = images.shape[-2:]
        return SegmenterOutput(nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True), ())

    assert all(each.difference == 0 for each in compare(Linear(), large, full_size=True))
    with pytest.raises(InputError, match=r"logits of shape \(1, 3, 65, 65\).*the trained one \(1, 3, 129, 129\)"):
        compare(Linear(), Linear(), full_size=True)


def test_no_numbers_are_not_equal() -> None:
    with pytest.raises(InputError, match="its training diverged"):
        compare(Linear(float("nan"), 0), Linear(), full_size=False)
    with pytest.raises(InputError, match="differs"):
        check(compare(Linear(), Linear(float("nan"), 0), full_size=False))


def test_nothing_is_written_where_they_differ(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an exporter's fault would show itself."""

    def disturbed(path: Path) -> object:
        network, card = load_network(path)
        other = copy.deepcopy(network)
        with torch.no_grad():
            other.classifier.bias += 0.5
        network.fold = other.fold  # type: ignore[method-assign]
        return network, card

    monkeypatch.setattr(exporting, "load_network", disturbed)
    with pytest.raises(InputError, match=r"differs from the trained one by 0\.5"):
        export_checkpoint(weights_file, tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_for_one_file(weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(onnx_format, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"GiB of weights.*export to \.pt2"):
        export_checkpoint(weights_file, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
