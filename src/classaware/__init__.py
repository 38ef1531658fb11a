"""Class-aware regularization (CAR, ECCV 2022) for semantic segmentation."""

from classaware.regularization import ClassAwareRegularization, ClassAwareTerms

__version__ = "0.1.0"

__all__ = ["ClassAwareRegularization", "ClassAwareTerms", "__version__"]
