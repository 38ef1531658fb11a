"""Exported files: what they compute, what they say of themselves, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from classaware.deployment.exported import ExportedNetwork, load_exported
from classaware.deployment.opening import open_network
from classaware.deployment.tracing import TRACES_FREE_SIZES
from classaware.errors import InputError
from classaware.evaluation import Inference, resize_logits
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, load_network

pytestmark = pytest.mark.skipif(not TRACES_FREE_SIZES, reason="exporting for any size needs torch 2.13 or newer")


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 3, 33, 33), (1, 3, 40, 200), (5, 3, 77, 50)])
def test_any_number_and_size_of_images(opened: ExportedNetwork, weights_file: Path, shape: tuple[int, ...]) -> None:
    """Down to the smallest."""
    network = opened
    original, _ = open_network(weights_file)
    assert isinstance(original, Segmenter)
    assert network.fold() is network
    assert network.num_classes == 3
    with torch.no_grad():
        output, wanted = network(images(*shape)), original(images(*shape))
    assert output.taps == ()
    wanted = resize_logits(wanted.logits, shape[-2:])
    torch.testing.assert_close(output.logits, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_inference_takes_it_as_any_network(opened: ExportedNetwork, weights_file: Path) -> None:
    """Windows, scales and mirrored views; label maps differ at ties alone."""
    pixels = (images(1, 3, 70, 91) * 255).to(torch.uint8)
    ways = Inference(window=(41, 50), average="probabilities", scales=(0.75, 1.0), flip=True)
    original, _ = open_network(weights_file)
    ours, theirs = (ways.predict(network.fold(), pixels, (70, 91)) for network in (opened, original))
    assert (ours == theirs).float().mean() > 0.99
    assert len(ours.unique()) > 1


def test_the_card_is_inside(exported: Path, weights_sha256: str, export_card: NetworkCard) -> None:
    network, card = open_network(exported)
    assert isinstance(network, ExportedNetwork)
    said = network.description
    assert card.palette == export_card.palette
    assert card.inference == export_card.inference
    assert (said["step"], said["checkpoint_sha256"], said["metrics"]) == (7, weights_sha256, None)
    assert said["normalization"]["where"] == "inside the file"
    assert len(said["normalization"]["mean"]) == 3
    assert said["sizes"] == {"batch": [1, None], "height": [33, None], "width": [33, None]}
    assert [(each["images"], each["height"], each["width"]) for each in said["compared"]] == [
        (1, 129, 129),
        (2, 97, 210),
        (3, 224, 160),
    ]
    assert 0 <= said["largest_difference"] == max(each["difference"] for each in said["compared"]) < 1e-3
    assert "torch" in said["versions"]


def test_others_find_the_card_where_the_format_has_such_things(exported: Path, export_card: NetworkCard) -> None:
    if exported.suffix == ".onnx":
        onnx = pytest.importorskip("onnx")
        model = onnx.load(exported)
        onnx.checker.check_model(model, full_check=True)
        said = {each.key: each.value for each in model.metadata_props}["classaware"]
        shapes = [
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (model.graph.input[0], model.graph.output[0])
        ]
        assert shapes == [["batch", 3, "height", "width"], ["batch", 3, "height", "width"]]
    else:
        extra = {"classaware.json": ""}
        torch.export.load(exported, extra_files=extra)
        said = extra["classaware.json"]
    content = json.loads(said)
    assert content["format"] == "classaware-exported"
    assert content["card"]["class_names"] == export_card.class_names


def test_no_place_of_this_machine_is_in_it(exported: Path) -> None:
    """Neither of the data nor of the source that the graph was traced from."""
    content = exported.read_bytes()
    for word in (b"/home/jane", b"site-packages", b"segmenter.py", str(Path(__file__).parents[2]).encode()):
        assert word not in content
    assert b"streets" in content


ALONE = """
import sys
import numpy as np

class No:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("classaware", "timm"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, No())
path, images = sys.argv[1], np.load(sys.argv[2])
if path.endswith(".onnx"):
    import onnxruntime
    logits = onnxruntime.InferenceSession(path).run(["logits"], {"images": images})[0]
else:
    import torch
    logits = torch.export.load(path).module()(torch.from_numpy(images)).detach().numpy()
np.save(sys.argv[3], logits)
"""


def test_it_runs_without_this_package(exported: Path, opened: ExportedNetwork, tmp_path: Path) -> None:
    given = images(2, 3, 50, 41)
    np.save(tmp_path / "images.npy", given.numpy())
    command = [sys.executable, "-c", ALONE, exported, tmp_path / "images.npy", tmp_path / "logits.npy"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = opened(given).logits.detach().numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.zeros(1, 3, 20, 64), "20 x 64.*height of at least 33.*pad_size"),
        (torch.zeros(1, 3, 64, 32), "64 x 32.*width of at least 33"),
        (torch.zeros(1, 4, 64, 64), r"\(B, 3, H, W\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "uint8"),
    ],
)
def test_images_that_it_is_not_for(opened: ExportedNetwork, given: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        opened(given)


def test_every_damaged_byte_is_noticed(exported: Path, tmp_path: Path) -> None:
    """One in the weights would be another network that nobody notices."""
    content = exported.read_bytes()
    path = tmp_path / exported.name
    places = np.random.default_rng(0).integers(0, len(content), 12)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0x10
        path.write_bytes(bytes(changed))
        if exported.suffix == ".pt2" and not _in_an_entry(exported, int(place)):
            continue  # of the archive itself, which has no checksum
        with pytest.raises(InputError, match=path.name):
            load_exported(path)
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=path.name):
            load_exported(path)


def _in_an_entry(path: Path, place: int) -> bool:
    with ZipFile(path) as archive:
        entries = archive.infolist()
    # Between an entry's header and its bytes there are fillers.
    ends = [info.header_offset for info in entries[1:]] + [path.stat().st_size]
    return any(end - info.file_size <= place < end for info, end in zip(entries[:-1], ends[:-1], strict=True))


def test_what_is_no_exported_file_is_named(weights_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pt2 does not exist"):
        open_network(tmp_path / "none.pt2")
    with pytest.raises(InputError, match=r"must be named \*\.onnx or \*\.pt2"):
        load_exported(weights_file)
    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(2),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(InputError, match=r"other\.pt2 was not written by 'classaware export'"):
        open_network(tmp_path / "other.pt2")
    for written, words in (
        ("{", "does not say what its network is"),
        ('{"format": "x"}', "another format"),
        ('{"format": "classaware-exported", "version": 2}', "has version 2 of the format"),
        ('{"format": "classaware-exported", "version": 1, "card": {}}', "TypeError"),
    ):
        torch.export.save(program, tmp_path / "card.pt2", extra_files={"classaware.json": written})
        with pytest.raises(InputError, match=words):
            open_network(tmp_path / "card.pt2")


def test_an_onnx_file_of_others(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "other.onnx")
    with pytest.raises(InputError, match=r"other\.onnx was not written by 'classaware export'"):
        open_network(tmp_path / "other.onnx")


def test_a_missing_package_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if exported.suffix == ".pt2":
        pytest.skip("torch is always there")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"'onnxruntime' is missing: pip install 'classaware\[export\]'"):
        open_network(exported)


def test_other_files_are_opened_as_ever(weights_file: Path) -> None:
    network, card = open_network(weights_file)
    known, known_card = load_network(weights_file)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), known.state_dict().values(), strict=True)
    )
    assert card == known_card
