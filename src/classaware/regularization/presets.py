"""The four independent knobs on which paper and released code differ, and named settings of them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Preset = Literal["released", "paper", "masked"]
Reduction = Literal["square_of_mean", "mean_of_squares"]
C2PScale = Literal["sqrt_channels", "none"]
Ignored = Literal["count", "exclude"]
Absent = Literal["zero_center", "exclude"]
Centers = Literal["batch", "image", "ema"]
Reduce = Literal["global", "replica"]


class Knobs(NamedTuple):
    """One setting of the regularizer.

    Attributes:
        reduction: what "f_mse" of Eqs. 2, 7, 14 is. ``square_of_mean`` is the authors' code, (mean)^2, with the clip
            of every row to [1e-7, 1 - 1e-7] and the floor of 1e-5 under intra_c2p that belong to it;
            ``mean_of_squares`` is the printed equation.
        c2p_scale: ``sqrt_channels`` divides the similarities of Eq. 8 by sqrt(C), as Eq. 4 does; ``none`` does not.
        ignored: ``count`` keeps unlabelled pixels in the means (zero in intra_c2p; in inter_c2p every class is
            another class for them); ``exclude`` leaves them out of numerator and denominator.
        absent: ``zero_center`` gives a class without pixels a zero vector, which takes part in every softmax and is
            a row of inter_c2c; ``exclude`` leaves it out everywhere and spreads the margin over the classes present.
    """

    reduction: Reduction
    c2p_scale: C2PScale
    ignored: Ignored
    absent: Absent


PRESETS: dict[str, Knobs] = {
    "released": Knobs("square_of_mean", "sqrt_channels", "count", "zero_center"),
    "paper": Knobs("mean_of_squares", "none", "count", "zero_center"),
    "masked": Knobs("mean_of_squares", "sqrt_channels", "exclude", "exclude"),
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "preset": get_args(Preset),
    "reduction": get_args(Reduction),
    "c2p_scale": get_args(C2PScale),
    "ignored": get_args(Ignored),
    "absent": get_args(Absent),
    "centers": get_args(Centers),
    "reduce": get_args(Reduce),
}


def check_choice(name: str, value: str) -> None:
    """Raise ``ValueError`` listing the valid values if ``value`` is none of the argument ``name``'s."""
    if value not in _CHOICES[name]:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, _CHOICES[name]))}.")


def resolve_knobs(preset: str, **given: str | None) -> Knobs:
    """The preset's knobs, with those that are given (not None) put in their place."""
    check_choice("preset", preset)
    changes = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        check_choice(name, value)
    return PRESETS[preset]._replace(**changes)  # type: ignore[arg-type]


def check_exclude(exclude: Sequence[int], num_classes: int, ignore_index: int, knobs: Knobs) -> tuple[int, ...]:
    """The classes to leave out, each once.

    Raises:
        ValueError: one that is no class; all of them; or knobs by which what is left out would still count.
    """
    if not isinstance(exclude, tuple | list) or any(type(index) is not int for index in exclude):
        raise ValueError(f"exclude={exclude!r}: must be class indices, such as (0,).")
    odd = [index for index in exclude if not 0 <= index < num_classes]
    if odd:
        raise ValueError(f"exclude={tuple(exclude)}: {odd[0]} is no class; there are 0 to {num_classes - 1}.")
    if exclude and not (knobs.ignored == knobs.absent == "exclude"):
        raise ValueError(
            f"exclude={tuple(exclude)} needs pixels without a label and classes without pixels to be left out: use "
            "preset='masked', or ignored='exclude' and absent='exclude'."
        )
    if exclude and not set(range(num_classes)) - {*exclude, ignore_index}:
        raise ValueError(f"exclude={tuple(exclude)} leaves no class: leave some out of it.")
    return tuple(dict.fromkeys(exclude))
