"""Class-aware regularization (CAR, ECCV 2022) for semantic segmentation.

The regularizer needs torch alone. Networks come with ``pip install 'classaware[train]'`` and are imported when asked
for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from classaware.regularization import ClassAwareRegularization, ClassAwareTerms

if TYPE_CHECKING:
    from classaware.models import Segmenter, create_segmenter

__version__ = "0.1.0"

__all__ = ["ClassAwareRegularization", "ClassAwareTerms", "Segmenter", "__version__", "create_segmenter"]


def __getattr__(name: str) -> Any:
    if name in ("Segmenter", "create_segmenter"):
        return getattr(import_module("classaware.models"), name)
    raise AttributeError(f"module 'classaware' has no attribute {name!r}")
