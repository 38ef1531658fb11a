"""CAR in a network of one's own that is trained already: ``identity=True`` starts where the training had ended.

python examples/trained_network.py [--steps 5] [--size 64]
"""

import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch import Tensor, nn
from torch.nn import functional as F

import classaware


class Network(nn.Module):
    """A small encoder and a 3x3 classifier that pads with zeros (folding is exact at the borders too)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.score = nn.Conv2d(32, CLASSES, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W)."""
        return F.interpolate(self.score(self.encoder(images)), size=images.shape[-2:], mode="bilinear")


def train(model: nn.Module, car: classaware.Attachment | None, steps: int, size: int, lr: float) -> None:
    """Some steps, with CAR where there is one."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    for step, (images, labels) in enumerate(batches(steps, size), 1):
        loss = F.cross_entropy(model(images), labels, ignore_index=IGNORED)
        total = car.losses(labels).total if car else torch.tensor(0.0)
        optimizer.zero_grad()
        (loss + total).backward()
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {total.item():.3f}")


def main() -> None:
    """Train without CAR, attach, compare, go on, fold, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    model = Network()
    train(model, None, options.steps, options.size, lr=1e-2)  # or load_state_dict

    keys = list(model.state_dict())
    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        trained = model(images)
        car = classaware.attach(model, "score", num_classes=CLASSES, ignore_index=IGNORED, identity=True)
        print(f"CAR is attached to {car.layer}")
        print(f"attached: largest difference of logits {(model(images) - trained).abs().max().item():.1e}")

    train(model, car, options.steps, options.size, lr=1e-3)
    model.eval()
    with torch.no_grad():
        before = model(images)
        car.fold()
        check_folded(model, keys, before, model(images))


if __name__ == "__main__":
    main()
