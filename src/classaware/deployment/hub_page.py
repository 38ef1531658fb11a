"""The page about a network that model hubs show: Markdown with their metadata in front."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.hub_mixin import MixinInfo

from classaware.evaluation.formatting import escaped, plain_line
from classaware.training.card import NetworkCard
from classaware.training.folder import without_places

_USE = """```python
from classaware import PretrainedSegmenter

network = PretrainedSegmenter.from_pretrained("FOLDER OR USER/NAME")
labels = network.predict("photo.jpg")  # (height, width), numbers of the classes below
```"""
_FACTS = {
    "steps": "steps",
    "batch_size": "images a step",
    "crop_size": "crop (height, width)",
    "image_size": "image size (height, width)",
    "weights": "weights of the backbone before",
    "optimizer": "optimizer",
    "lr": "learning rate",
    "precision": "precision",
    "seed": "seed",
}
_MEANS = {
    "mean_iou": "mean IoU",
    "mean_accuracy": "mean accuracy",
    "pixel_accuracy": "pixel accuracy",
    "mean_boundary_iou": "mean boundary IoU",
}
_NO_LICENSE = "## License\n\nNot stated. Those of the training data and of the backbone's weights apply."


def describe_network(
    card: NetworkCard, step: int | None, metrics: Mapping[str, Any] | None, info: MixinInfo, more: Mapping[str, Any]
) -> str:
    """The page.

    Args:
        card: of the network.
        step: how many steps it was trained.
        metrics: what `summarize_record` gave.
        info: what the mixin knows of the library.
        more: further entries of the metadata, such as the license.

    Returns:
        Markdown; names that others gave are escaped.
    """
    measured = [] if metrics is None else [f"## Results\n\n{escaped(str(metrics['how']))}", _table(_scores(metrics))]
    colors = ["#" + bytes(color).hex() for color in card.palette]
    classes = [("number", "name", "color"), *zip(map(str, range(len(colors))), card.class_names, colors, strict=True)]
    parts = [
        f"---\n{_metadata(card, metrics, info, more).to_yaml()}\n---",
        f"# {escaped(_title(card))}",
        _summary(card, info.paper_url),
        f"## Use\n\n{_USE}",
        "## Training",
        _table(_training(card, step)),
        *measured,
        "## Classes",
        _table(classes),
        *([] if "license" in more else [_NO_LICENSE]),
    ]
    return "\n\n".join(parts) + "\n"


def _title(card: NetworkCard) -> str:
    head = card.network["head"]
    name = head.get("class_path") if isinstance(head, dict) else head
    parts = str(name).rpartition(".")[2].removesuffix("Head"), str(card.network["backbone"]["name"]), _data(card)
    return plain_line(f"{parts[0]} on {parts[1]}, {parts[2]}")


def _data(card: NetworkCard) -> str:
    """The data set by its class, or by the folder that it was read from."""
    root = without_places(card.dataset.get("init_args", {}).get("root"))
    return str(root or card.dataset.get("class_path", "").rpartition(".")[2])


def _summary(card: NetworkCard, paper: str | None) -> str:
    text = f"Semantic segmentation with {len(card.class_names)} classes"
    if card.network.get("car") in ("on", True):
        text += f", trained with [class-aware regularization (CAR)]({paper}), which costs nothing at inference"
    return f"{text}. Images are RGB in [0, 1]; their normalization is part of the network."


def _training(card: NetworkCard, step: int | None) -> list[tuple[str, str]]:
    known = card.training | ({} if step is None else {"steps": step})
    facts = [("data", _data(card))]
    facts += [(title, _text(known[name])) for name, title in _FACTS.items() if known.get(name) is not None]
    facts += [(f"version of {name}", str(version)) for name, version in (known.get("versions") or {}).items()]
    return [("", ""), *facts]


def _text(value: Any) -> str:
    plain = without_places(value)
    return " x ".join(map(str, plain)) if isinstance(plain, list) else str(plain)


def _scores(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    means = [(title, metrics[name]) for name, title in _MEANS.items() if metrics.get(name) is not None]
    of_classes = [(f"IoU of {name}", iou) for name, iou in metrics["iou"].items() if iou is not None]
    return [("score", "%"), *((title, f"{100 * value:.2f}") for title, value in means + of_classes)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _metadata(
    card: NetworkCard, metrics: Mapping[str, Any] | None, info: MixinInfo, more: Mapping[str, Any]
) -> ModelCardData:
    known = info.model_card_data.to_dict() | dict(more)
    if metrics is not None:
        name = plain_line(str(metrics["data"]))
        result = EvalResult(
            task_type="image-segmentation",
            dataset_type=re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "data",
            dataset_name=name,
            dataset_split=str(metrics["split"]),
            metric_type="mean_iou",
            metric_value=metrics["mean_iou"],
        )
        known |= {"model_name": _title(card), "eval_results": [result]}
    return ModelCardData(**known)
