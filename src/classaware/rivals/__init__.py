"""Other losses on features and labels, to compare class-aware regularization with.

Called like it, ``loss(features, labels)``, but they return one scalar, to be added to the task's loss. Shape suffixes
as in :mod:`classaware.regularization`; further ones of this package::

    N pixels of the whole batch (B*P), or vectors offered to a memory    A anchors    M places of a class in a memory
"""

from classaware.rivals.base import Rival
from classaware.rivals.center_loss import CenterLoss
from classaware.rivals.pixel_contrast import PixelContrast

__all__ = ["CenterLoss", "PixelContrast", "Rival"]
