"""A traced program as an ONNX file, and an ONNX file as a function."""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from classaware.deployment.tracing import INPUT, OUTPUT, quiet
from classaware.errors import InputError

_KEY, _CHECKSUM = "classaware", "classaware_sha256"  # of the metadata
_BLANK = "0" * 64  # stands for the checksum while it is taken
MOST_BYTES = 2**31 - 2**20  # of one file of this format, which is a protocol buffer
_DIMENSIONS = ("batch", "channels", "height", "width")
_ABOUT = (
    "Semantic segmentation. Input: RGB images (batch, 3, height, width) in [0, 1]; the normalization is inside. "
    "Output: logits (batch, classes, height, width). Classes, colors and more: JSON in the metadata entry 'classaware'."
)


def require(*packages: str) -> None:
    """Find out whether packages are there that only exported files need.

    Raises:
        InputError: one is missing.
    """
    for package in packages:
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            raise InputError(f"the package {error.name!r} is missing: pip install 'classaware[export]'.") from error


def convert(program: ExportedProgram) -> Any:
    """The program in ONNX's operators, an ``onnx.ModelProto``.

    Raises:
        InputError: a package is missing, or the network is too large for one file.
    """
    require("onnx", "onnxscript", "onnxruntime")
    weights = sum(tensor.nbytes for tensor in (program.state_dict | program.constants).values())
    if weights > MOST_BYTES:
        raise InputError(
            f"the network has {weights / 2**30:.1f} GiB of weights, and an ONNX file without others beside it takes "
            "less than 2: export to .pt2."
        )
    with quiet():
        made = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False, optimize=True
        )
        assert made is not None
        return made.model_proto


def write(model: Any, description: dict[str, Any]) -> bytes:
    """The content of the file, weights inside; the same for the same program and description."""
    _tidy(model, "" if description["output"]["at"] == "image size" else "features_")
    model.doc_string = _ABOUT
    for key, value in ((_KEY, json.dumps(description)), (_CHECKSUM, _BLANK)):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    model.metadata_props[-1].value = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _tidy(model: Any, prefix: str) -> None:
    """Name the free dimensions, ``prefix`` before the result's sides; drop what the exporter notes of the source."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
    for value, before in ((graph.input[0], ""), (graph.output[0], prefix)):
        for dimension, name in zip(value.type.tensor_type.shape.dim, _DIMENSIONS, strict=True):
            if dimension.dim_param:
                dimension.dim_param = name if name == "batch" else before + name


def read(content: bytes) -> tuple[str | None, Callable[[Tensor], Tensor]]:
    """What the metadata say (None: nothing of ours), and the network as a function of images.

    Raises:
        InputError: onnxruntime is missing.
        Exception: whatever onnxruntime raises for a damaged file; ValueError for a wrong checksum.
    """
    require("onnxruntime")
    runner = OnnxRunner(content)
    known = runner.metadata
    if _KEY not in known:
        return None, runner
    checksum = known.get(_CHECKSUM, "").encode()
    if len(checksum) != len(_BLANK) or content.count(checksum) != 1:
        raise ValueError("no checksum")
    if hashlib.sha256(content.replace(checksum, _BLANK.encode())).hexdigest().encode() != checksum:
        raise ValueError("wrong checksum")
    return known[_KEY], runner


class OnnxRunner:
    """Runs an ONNX file's content: images (B, 3, H, W) to logits on the images' device.

    On CUDA where the images are there and the installed onnxruntime can, else on the CPU.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._device = torch.device("cpu")
        self._session = self._start(self._device)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def _start(self, device: torch.device) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        return onnxruntime.InferenceSession(self._content, options, providers=providers)

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 to (B, K, H, W)."""
        if images.device != self._device:
            self._session, self._device = self._start(images.device), images.device
        (logits,) = self._session.run([OUTPUT], {INPUT: images.detach().cpu().contiguous().numpy()})
        return torch.from_numpy(logits).to(images.device)
