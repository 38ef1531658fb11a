"""CAR on the patch tokens of EoMT (transformers), which scores queries with masks, not pixels.

    python examples/eomt_masks.py [--steps 5] [--size 64]

Its loss is its own (Hungarian matching of masks); CAR sees the patch tokens as maps, in front of the first upscaling.
"""

import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch import Tensor
from transformers import EomtConfig, EomtForUniversalSegmentation

import classaware


def as_masks(labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Each image's label map (H, W) as masks (n, H, W) of the classes that are in it, and these classes (n)."""
    classes = [label.unique() for label in labels]
    classes = [present[present != IGNORED] for present in classes]
    masks = [(y[None] == present[:, None, None]).float() for y, present in zip(labels, classes, strict=True)]
    return masks, classes


def semantic_logits(model: EomtForUniversalSegmentation, images: Tensor) -> Tensor:
    """Every class's score (B, K, h, w): masks weighted by how likely their query is of that class."""
    outputs = model(images)
    classes = outputs.class_queries_logits.softmax(-1)[..., :-1]  # without "no object"
    return torch.einsum("bqk,bqhw->bkhw", classes, outputs.masks_queries_logits.sigmoid())


def main() -> None:
    """Train, fold, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    config = EomtConfig(
        image_size=options.size, patch_size=8, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_blocks=2, num_upscale_blocks=1, num_queries=10, num_labels=CLASSES, train_num_points=256,
    )  # fmt: skip
    model = EomtForUniversalSegmentation(config)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)
    print(f"CAR is attached to {car.layer}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, options.size), 1):
        mask_labels, class_labels = as_masks(labels)
        loss = model(images, mask_labels=mask_labels, class_labels=class_labels).loss
        terms = car.losses(labels)  # the label maps as they are
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"step {step}: EoMT's loss {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        before = semantic_logits(model, images)
        car.fold()
        check_folded(model, keys, before, semantic_logits(model, images))


if __name__ == "__main__":
    main()
