"""CAR in torchvision's DeepLabV3 (with its auxiliary head) or LR-ASPP.

python examples/torchvision_networks.py [--network deeplabv3 | lraspp] [--steps 5] [--size 64]
"""

import torch
from support import CLASSES, IGNORED, batches, check_folded, made_up, parser
from torch import nn
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large

import classaware


def build(name: str) -> nn.Module:
    """The network with random weights, so that nothing is downloaded."""
    if name == "lraspp":
        return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    return deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)


def main() -> None:
    """Train, fold, check."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", choices=("deeplabv3", "lraspp"), default="deeplabv3")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = build(options.network)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)
    print(f"CAR is attached to {car.layer}")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)

    model.train()
    for step, (images, labels) in enumerate(batches(options.steps, options.size), 1):
        outputs = model(images)
        loss = F.cross_entropy(outputs["out"], labels, ignore_index=IGNORED)
        if "aux" in outputs:
            loss = loss + 0.5 * F.cross_entropy(outputs["aux"], labels, ignore_index=IGNORED)
        terms = car.losses(labels)
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")

    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        before = model(images)["out"]
        car.fold()
        check_folded(model, keys, before, model(images)["out"])


if __name__ == "__main__":
    main()
