"""studies/gradients.py: how strongly the presets pull at a network's features."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classaware.commands.main import main
from classaware.models import SegmenterOutput
from classaware.regularization import ClassAwareRegularization

SCRIPT = Path(__file__).resolve().parents[2] / "studies" / "gradients.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


class Tapped(nn.Module):
    """A network whose tap is the image times a weight, and whose logits are the tap."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.5))

    def forward(self, image: Tensor) -> SegmenterOutput:
        tap = self.weight * image
        return SegmenterOutput(logits=tap, taps=(tap,))


def test_norms_and_shares_are_those_of_the_gradients(script: dict[str, Any]) -> None:
    torch.manual_seed(0)
    image, label = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 6, 5))
    label[:, 0] = 255
    presets = {name: ClassAwareRegularization(3, **knobs) for name, knobs in script["PRESETS"].items()}
    found = script["look"](Tapped(), {"image": image, "label": label}, presets)
    pixels = [(label == 0), (label == 255), (label < 255) & (label > 0)]
    assert found.pop("pixels").tolist() == pytest.approx([kind.float().mean().item() for kind in pixels])
    # The cross-entropy's gradient is (softmax - one-hot) / number of labeled pixels.
    tap = 1.5 * image
    pull = tap.softmax(1) - nn.functional.one_hot(label.clamp(max=2), 3).permute(0, 3, 1, 2)
    pull = pull * (label < 255).unsqueeze(1) / (label < 255).sum()
    assert list(found) == list(script["PRESETS"])
    for name, values in found.items():
        features = tap.clone().requires_grad_()
        terms = presets[name](features, label)
        for term, ratio in zip(script["TERMS"], values[:4], strict=True):
            (gradient,) = torch.autograd.grad(getattr(terms, term), features, retain_graph=True)
            assert ratio == pytest.approx(gradient.norm().item() / pull.norm().item(), rel=1e-4)
        squares = [gradient.square().sum(1)[kind].sum().item() for kind in pixels]
        assert values[4:].tolist() == pytest.approx([part / sum(squares) for part in squares], abs=1e-6)
        assert (values[5] == 0) == (name not in ("released", "paper"))
    assert found["masked-without-background"][4] == 0


def test_it_reads_a_folder_of_fit(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = "--data.dataset.train=8 --data.dataset.val=2 --data.dataset.test=2 --data.batch_size=2"
    length = "--trainer.max_steps=2 --trainer.val_check_interval=2 --network.head.channels=16"
    run = str(tmp_path / "run")
    assert (
        main(["fit", "--config", "biased-scenes", "--config", "car", *f"{small} {length}".split(), "--output", run])
        == 0
    )
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["gradients.py", run, "--batches", "3"])
    script["main"]()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[2:]] == ["share of the pixels", *script["PRESETS"]]
    assert lines[2][6] == "0.000"  # scenes have no unlabeled pixel
    for line in lines[2:]:
        assert sum(map(float, line[5:])) == pytest.approx(1, abs=0.002)
        assert all(float(cell) > 0 for cell in line[1:5] if line[0] in script["PRESETS"])
