"""Whether networks know the data whose labels say what is familiar."""

from collections.abc import Mapping
from typing import Any

from classaware.evaluation.combinations import few_names


def warn_of_other_data(trained_on: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """A warning where networks were trained on other data than the labels that tell what is familiar.

    Args:
        trained_on: name of a network or run -> arguments of its data set, plain values; None where unknown.
        arguments: of the data set that is counted.
    """
    other = [name for name, used in trained_on.items() if used not in (None, arguments)]
    if not other:
        return []
    return [
        f"{len(other)} of the networks ({few_names(other)}) were trained on other data, or on a data set in another "
        "folder, than the one whose training labels say here what is familiar. Give what they were trained on by "
        "--dataset if it holds the evaluated split too."
    ]
