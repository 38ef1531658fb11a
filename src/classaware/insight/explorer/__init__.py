"""The explorer: one HTML file in which networks can be looked at, pixel by pixel, without them."""

from classaware.insight.explorer.build import Explorer, build_explorer
from classaware.insight.explorer.projection import Fidelity
from classaware.insight.explorer.selection import choose_samples, named_samples

__all__ = ["Explorer", "Fidelity", "build_explorer", "choose_samples", "named_samples"]
