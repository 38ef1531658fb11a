"""Class-aware regularization (CAR, ECCV 2022) for semantic segmentation.

The regularizer and `attach` need torch alone. Networks come with ``pip install 'classaware[train]'`` and are imported
when asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from classaware.regularization import (
    Attachment,
    ClassAwareRegularization,
    ClassAwareTerms,
    RarePairs,
    attach,
    attached,
)

if TYPE_CHECKING:
    from classaware.deployment.hub import PretrainedSegmenter
    from classaware.models import Segmenter, create_segmenter

__version__ = "0.1.0"

__all__ = [
    "Attachment",
    "ClassAwareRegularization",
    "ClassAwareTerms",
    "PretrainedSegmenter",
    "RarePairs",
    "Segmenter",
    "__version__",
    "attach",
    "attached",
    "create_segmenter",
]

_LAZY = {
    "PretrainedSegmenter": "classaware.deployment.hub",
    "Segmenter": "classaware.models",
    "create_segmenter": "classaware.models",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'classaware' has no attribute {name!r}")
