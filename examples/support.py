"""What the examples share: made-up images, options, and the look at what folding leaves. Nothing of CAR is in here."""

import argparse
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

CLASSES = 5
IGNORED = 255


def parser(text: str | None) -> argparse.ArgumentParser:
    """Options that every example has."""
    options = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=5, help="steps of training")
    options.add_argument("--size", type=int, default=64, help="sides of the made-up images, a multiple of 32")
    return options


def made_up(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy images (N, 3, height, width) of colored squares and their labels (N, height, width), some ignored."""
    generator = torch.Generator().manual_seed(seed)
    squares = torch.randint(CLASSES, (count, height // 16, width // 16), generator=generator)
    labels = squares.repeat_interleave(16, 1).repeat_interleave(16, 2)
    colors = torch.rand(CLASSES, 3, generator=torch.Generator().manual_seed(0))
    images = colors[labels].permute(0, 3, 1, 2) + 0.1 * torch.randn(count, 3, height, width, generator=generator)
    labels[:, :2] = IGNORED
    return images, labels


def batches(steps: int, height: int, width: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of four images and labels; another one in each step."""
    for step in range(steps):
        yield made_up(4, height, width or height, step)


def check_folded(model: nn.Module, keys: Sequence[str], before: Tensor, after: Tensor) -> None:
    """Print how far folding has moved the logits, and stop if they or the names of the weights are others."""
    difference = (after - before).abs().max().item()
    same = list(model.state_dict()) == list(keys)
    print(f"folded: largest difference of logits {difference:.1e}, names of weights {'kept' if same else 'CHANGED'}")
    if not same or difference > 1e-4 * (1 + before.abs().max().item()):
        raise SystemExit("the folded network is not the one that was trained")
