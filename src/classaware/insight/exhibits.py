"""The two figures of a report, with their words."""

from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike

from classaware.insight.dependency import mean_dependency
from classaware.insight.figures import figure_to_svg
from classaware.insight.plots import Curve, curves_figure, dependency_figure
from classaware.insight.report import Figure


def dependency_exhibit(maps: Mapping[str, ArrayLike], class_names: Sequence[str]) -> Figure:
    """Draw class-dependency maps for a report: figure, one explaining sentence, the mean dependency of every network.

    Args:
        maps: name of the network -> (K, K) as `dependency_map` returns it.
        class_names: K names.

    Raises:
        InputError: as in `dependency_figure`.
    """
    data = figure_to_svg(dependency_figure(maps, class_names))
    means = ", ".join(f"{name} {mean_dependency(torch.as_tensor(value)):.3g}" for name, value in maps.items())
    return Figure(
        caption=(
            "Class-dependency maps: the brighter a field off the diagonal, the more the network's features of the "
            "row's class look like those of the column's class (softmax of the scaled dot products of the class "
            "centers; gray: class absent). "
            f"Mean dependency on all other classes, 0 is none: {means}."
        ),
        alt=f"Class-dependency maps side by side. Mean dependency: {means}.",
        data=data,
    )


def curves_exhibit(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw training curves for a report.

    Args:
        curves: logged quantity -> network -> (steps, values).

    Raises:
        InputError: as in `curves_figure`.
    """
    data = figure_to_svg(curves_figure(curves))
    networks = list(dict.fromkeys(network for lines in curves.values() for network in lines))
    return Figure(
        caption="Training curves: one panel a logged quantity, one line a network.",
        alt=f"Training curves of {', '.join(networks)}: {', '.join(curves)}.",
        data=data,
    )
