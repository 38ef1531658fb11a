"""Looking inside: class-dependency maps, figures, painted label maps, and the report."""

from classaware.insight.centers import CenterAccumulator, measure_dependency
from classaware.insight.dependency import dependency_map, mean_dependency, similarity_map
from classaware.insight.dependency_plot import dependency_figure
from classaware.insight.exhibits import curves_exhibit, dependency_exhibit
from classaware.insight.figures import figure_to_png, figure_to_svg
from classaware.insight.images import colorize, overlay, png_bytes
from classaware.insight.plots import curves_figure
from classaware.insight.report import Report, render_report, write_report
from classaware.insight.report_blocks import Figure, SampleRow, Samples, Section, Table

__all__ = [
    "CenterAccumulator",
    "Figure",
    "Report",
    "SampleRow",
    "Samples",
    "Section",
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
    "measure_dependency",
    "overlay",
    "png_bytes",
    "render_report",
    "similarity_map",
    "write_report",
]
