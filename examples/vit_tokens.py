"""CAR on tokens (B, N, C): a timm ViT with a linear head, a class token, registers, and a grid that is not square.

python examples/vit_tokens.py [--steps 5] [--size 64]
"""

import timm
import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch import Tensor, nn
from torch.nn import functional as F

import classaware


class TokenSegmenter(nn.Module):
    """Every token is scored by one ``nn.Linear``; the scores of patches become a map."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.vit = timm.create_model(
            "vit_tiny_patch16_224", img_size=(height, width), depth=3, reg_tokens=4, num_classes=0, global_pool=""
        )
        self.head = nn.Linear(self.vit.embed_dim, CLASSES)
        self.grid: tuple[int, int] = self.vit.patch_embed.grid_size
        self.prefix_tokens: int = self.vit.num_prefix_tokens  # 1 class token and 4 registers

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W)."""
        tokens = self.head(self.vit.forward_features(images))  # (B, N, K)
        patches = tokens[:, self.prefix_tokens :].transpose(1, 2).unflatten(2, self.grid)
        return F.interpolate(patches, size=images.shape[-2:], mode="bilinear")


def main() -> None:
    """Train, fold, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    height, width = options.size, 2 * options.size
    model = TokenSegmenter(height, width)
    keys = list(model.state_dict())
    car = classaware.attach(
        model, "head", num_classes=CLASSES, ignore_index=IGNORED, grid=model.grid, prefix_tokens=model.prefix_tokens
    )
    print(f"CAR is attached to {car.layer}: {model.prefix_tokens} tokens before {model.grid[0]} x {model.grid[1]}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, height, width), 1):
        loss = F.cross_entropy(model(images), labels, ignore_index=IGNORED)
        terms = car.losses(labels)
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, height, width, seed=1000)
    with torch.no_grad():
        before = model(images)
        car.fold()
        check_folded(model, keys, before, model(images))


if __name__ == "__main__":
    main()
