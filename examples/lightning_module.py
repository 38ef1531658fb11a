"""CAR in a LightningModule: attached where the network is made, added where the loss is.

python examples/lightning_module.py [--steps 5] [--size 64]
"""

import pytorch_lightning as pl
import torch
from support import CLASSES, IGNORED, check_folded, made_up, parser
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import classaware


class Segmentation(pl.LightningModule):
    """A network, cross entropy and CAR."""

    def __init__(self, network: nn.Module, lr: float = 1e-3) -> None:
        super().__init__()
        self.network = network
        self.lr = lr
        self.car = classaware.attach(network, num_classes=CLASSES, ignore_index=IGNORED)
        print(f"CAR is attached to {self.car.layer}")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W)."""
        return self.network(images)["out"]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Cross entropy and CAR's total."""
        images, labels = batch
        loss = F.cross_entropy(self(images), labels, ignore_index=IGNORED)
        terms = self.car.losses(labels)
        print(f"step {self.global_step + 1}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}")
        return loss + terms.total

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Without CAR, of which nothing is kept in eval mode."""
        images, labels = batch
        self.log("val_loss", F.cross_entropy(self(images), labels, ignore_index=IGNORED))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of all weights, those of CAR's linear convolution among them."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def main() -> None:
    """Fit, fold, check."""
    options = parser(__doc__).parse_args()
    pl.seed_everything(0, verbose=False)
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    keys = list(network.state_dict())
    task = Segmentation(network)
    images, labels = made_up(8, options.size, options.size)
    train = DataLoader(TensorDataset(images, labels), batch_size=4, shuffle=True)
    val = DataLoader(TensorDataset(images[:2], labels[:2]), batch_size=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=options.steps,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(task, train, val)

    task.eval()
    with torch.no_grad():
        before = task(images)
        task.car.fold()
        check_folded(network, keys, before, task(images))


if __name__ == "__main__":
    main()
