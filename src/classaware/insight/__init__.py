"""Looking inside: class-dependency maps, figures, painted label maps, and the report."""

from classaware.insight.dependency import CenterAccumulator, dependency_map, mean_dependency
from classaware.insight.exhibits import curves_exhibit, dependency_exhibit
from classaware.insight.figures import figure_to_png, figure_to_svg
from classaware.insight.images import colorize, overlay, png_bytes
from classaware.insight.plots import curves_figure, dependency_figure
from classaware.insight.report import Figure, Report, SampleRow, Table, render_report, write_report

__all__ = [
    "CenterAccumulator",
    "Figure",
    "Report",
    "SampleRow",
    "Table",
    "colorize",
    "curves_exhibit",
    "curves_figure",
    "dependency_exhibit",
    "dependency_figure",
    "dependency_map",
    "figure_to_png",
    "figure_to_svg",
    "mean_dependency",
    "overlay",
    "png_bytes",
    "render_report",
    "write_report",
]
