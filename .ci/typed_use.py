"""What a type checker sees of the installed package; checked, not run."""

from typing import assert_type

import torch
from torch import Tensor, nn

from classaware import Attachment, ClassAwareRegularization, ClassAwareTerms, attach


def use(features: Tensor, labels: Tensor, model: nn.Module) -> None:
    """Wrong or missing annotations are errors here."""
    car = ClassAwareRegularization(num_classes=3)
    terms: ClassAwareTerms = car(features, labels)
    assert_type(terms.total, Tensor)
    attachment = attach(model, at="0", num_classes=3)
    assert_type(attachment, Attachment)
    assert_type(attachment.losses(labels), ClassAwareTerms)
    assert_type(attachment.features, torch.Tensor | None)
    assert_type(attachment.fold(), nn.Module)
