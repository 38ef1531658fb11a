"""Looking at a whole data set before training: what would ruin it, and what it holds."""

from classaware.data.checking.check import Report, check
from classaware.data.checking.findings import Finding

__all__ = ["Finding", "Report", "check"]
