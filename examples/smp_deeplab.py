"""CAR in a network of segmentation_models_pytorch, in a plain training loop. CAR's four lines are marked.

python examples/smp_deeplab.py [--steps 5] [--size 64]
"""

import segmentation_models_pytorch as smp
import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch.nn import functional as F

import classaware


def main() -> None:
    """Train, fold, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    model = smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=CLASSES)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)  # CAR: before the optimizer
    print(f"CAR is attached to {car.layer}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, options.size), 1):
        logits = model(images)
        loss = F.cross_entropy(logits, labels, ignore_index=IGNORED)
        terms = car.losses(labels)  # CAR: once after every forward pass
        optimizer.zero_grad()
        (loss + terms.total).backward()  # CAR: added to the loss
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        before = model(images)
        car.fold()  # CAR: the network is again what segmentation_models_pytorch made
        check_folded(model, keys, before, model(images))


if __name__ == "__main__":
    main()
