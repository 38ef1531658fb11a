"""The two figures of a report, with their words."""

from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike

from classaware.insight.dependency import Form, mean_cosine, mean_dependency
from classaware.insight.dependency_plot import dependency_figure
from classaware.insight.figures import figure_to_svg
from classaware.insight.plots import Curve, curves_figure
from classaware.insight.report_blocks import Figure

_MEANING: dict[Form, str] = {
    "paper": "softmax of the scaled dot products of the class centers (Eq. 4)",
    "unit": "softmax of the scaled dot products of the class centers (Eq. 4), features at unit scale",
    "cosine": "cosine of the class centers",
}


def dependency_exhibit(maps: Mapping[str, ArrayLike], class_names: Sequence[str], form: Form = "paper") -> Figure:
    """Draw class-dependency maps for a report: figure, one explaining sentence, the mean dependency of every network.

    Args:
        maps: name of the network -> (K, K) as `similarity_map` returns it.
        class_names: K names.
        form: of the maps.

    Raises:
        InputError: as in `dependency_figure`.
    """
    data = figure_to_svg(dependency_figure(maps, class_names, form))
    squares = {name: torch.as_tensor(value) for name, value in maps.items()}
    if form == "cosine":
        numbers = {name: f"{mean_cosine(square):.3g}" for name, square in squares.items()}
    else:
        numbers = {name: f"{100 * mean_dependency(square):.3g} %" for name, square in squares.items()}
    means = ", ".join(f"{name} {number}" for name, number in numbers.items())
    what = "Mean cosine of two classes" if form == "cosine" else "Mean dependency on all other classes"
    return Figure(
        caption=(
            f"Class-dependency maps: the {'redder' if form == 'cosine' else 'brighter'} a field off the diagonal, the "
            "more the network's features of the row's class look like those of the column's class "
            f"({_MEANING[form]}; gray: class absent). {what}, 0 is none: {means}."
        ),
        alt=f"Class-dependency maps side by side. {what}: {means}.",
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
