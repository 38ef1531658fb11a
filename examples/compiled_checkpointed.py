"""CAR under torch.compile and gradient checkpointing.

    python examples/compiled_checkpointed.py [--steps 5] [--size 64] [--backend inductor]

Attach first, then compile. Checkpointing has to be ``use_reentrant=False`` where the layer that CAR is attached to is
inside of a checkpointed block, as it is here.
"""

import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import classaware


class Network(nn.Module):
    """An encoder and a decoder, of which nothing but the inputs is kept for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 32, 4, stride=4), nn.GroupNorm(4, 32), nn.ReLU())
        self.decoder = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, CLASSES, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W)."""
        x = checkpoint(self.encoder, images, use_reentrant=False)
        x = checkpoint(self.decoder, x, use_reentrant=False)
        return F.interpolate(x, size=images.shape[-2:], mode="bilinear")


def main() -> None:
    """Train, fold, check."""
    arguments = parser(__doc__)
    arguments.add_argument("--backend", default="inductor", help="of torch.compile")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = Network()
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)
    print(f"CAR is attached to {car.layer}")
    compiled = torch.compile(model, backend=options.backend)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, options.size), 1):
        loss = F.cross_entropy(compiled(images), labels, ignore_index=IGNORED)
        terms = car.losses(labels)
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        before = compiled(images)
        car.fold()
        check_folded(model, keys, before, model(images))
        again = torch.compile(model, backend=options.backend)(images)
        print(f"folded and compiled: largest difference of logits {(again - before).abs().max().item():.1e}")


if __name__ == "__main__":
    main()
