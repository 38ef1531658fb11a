"""CAR in UPerNet of transformers, trained by its Trainer.

    python examples/upernet_trainer.py [--steps 5] [--size 64]

Needs accelerate, as the Trainer does.
"""

import tempfile
from typing import Any

import torch
from support import CLASSES, IGNORED, check_folded, made_up, parser
from torch import Tensor
from transformers import ConvNextConfig, Trainer, TrainingArguments, UperNetConfig, UperNetForSemanticSegmentation

import classaware


class ClassAwareTrainer(Trainer):
    """Adds CAR's total to the model's own loss, in training alone."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.model_accepts_loss_kwargs = False  # else accumulated losses would not be divided by their number

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **more: Any
    ) -> Any:
        """The model's loss (cross entropy of both heads) and CAR's."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **more)
        if model.training:  # evaluate() comes here too
            (car,) = classaware.attached(model)  # also where the Trainer has wrapped the model
            loss = loss + car.losses(inputs["labels"]).total
        return (loss, outputs) if return_outputs else loss


def main() -> None:
    """Train, fold, evaluate, check."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=stages)
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=32,
        auxiliary_in_channels=24,
        num_labels=CLASSES,
        loss_ignore_index=IGNORED,
    )
    model = UperNetForSemanticSegmentation(config)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)
    print(f"CAR is attached to {car.layer}")

    images, labels = made_up(8, options.size, options.size)
    data = [{"pixel_values": x, "labels": y} for x, y in zip(images, labels, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=options.steps,
            per_device_train_batch_size=4,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = ClassAwareTrainer(model, arguments, train_dataset=data, eval_dataset=data[:4])
        trainer.train()
        trainer.evaluate()

    model.eval()
    with torch.no_grad():
        before = model(images).logits
        car.fold()
        check_folded(model, keys, before, model(images).logits)


if __name__ == "__main__":
    main()
