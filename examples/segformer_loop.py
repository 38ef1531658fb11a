"""CAR in SegFormer of transformers, in a plain training loop; what comes out is saved as any SegFormer.

    python examples/segformer_loop.py [--steps 5] [--size 64]

Take your own with ``SegformerForSemanticSegmentation.from_pretrained(...)``; this one is small and has random weights,
so that nothing is downloaded.
"""

import tempfile

import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import classaware


def main() -> None:
    """Train, fold, save, load, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    config = SegformerConfig(
        num_labels=CLASSES,
        semantic_loss_ignore_index=IGNORED,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 3, 4],
        decoder_hidden_size=64,
    )
    model = SegformerForSemanticSegmentation(config)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)
    print(f"CAR is attached to {car.layer}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, options.size), 1):
        loss = model(pixel_values=images, labels=labels).loss  # cross entropy at the labels' size
        terms = car.losses(labels)
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        before = model(images).logits
        car.fold()
        model.save_pretrained(folder)
        loaded = SegformerForSemanticSegmentation.from_pretrained(folder)  # knows nothing of CAR
        check_folded(loaded, keys, before, loaded(images).logits)


if __name__ == "__main__":
    main()
