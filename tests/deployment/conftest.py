"""A small network as a file, and what it is exported to."""

from pathlib import Path

import pytest
import torch

from classaware.deployment.exported import ExportedNetwork, load_exported
from classaware.deployment.exporting import export_checkpoint
from classaware.files import sha256
from classaware.training.card import NetworkCard, build_network
from classaware.training.weights import write_weights

EXPORT_CARD = NetworkCard(
    network={
        "backbone": {"name": "test_resnet", "output_stride": 8},
        "head": {"class_path": "classaware.models.SelfAttentionHead", "init_args": {"channels": 8, "key_channels": 4}},
        "car": "on",
        "projection": "3x3",
        "num_classes": 3,
    },
    class_names=["sky", "road", "car"],
    palette=[[1, 2, 3], [40, 50, 60], [255, 0, 16]],
    ignore_index=255,
    image_size=None,
    dataset={"class_path": "classaware.data.FolderDataset", "init_args": {"root": "/home/jane/secret/streets"}},
    inference={"scales": [1.0, 1.5], "flip": True},
    training={"seed": 3, "steps": 7},
)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with running statistics of its own."""
    torch.manual_seed(1)
    network = build_network(EXPORT_CARD.network).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 64, 64))
    path = tmp_path_factory.mktemp("run") / "net.safetensors"
    write_weights(path, network.state_dict(), EXPORT_CARD.to_dict(), 7)
    return path


@pytest.fixture(scope="session", params=[".onnx", ".pt2"])
def exported(request: pytest.FixtureRequest, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network exported, in either format; only to be read."""
    if request.param == ".onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("exported") / f"net{request.param}"
    export_checkpoint(weights_file, path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return path


@pytest.fixture(scope="session")
def opened(exported: Path) -> ExportedNetwork:
    """The same, read."""
    return load_exported(exported)[0]


@pytest.fixture(scope="session")
def export_card() -> NetworkCard:
    return EXPORT_CARD


@pytest.fixture(scope="session")
def weights_sha256(weights_file: Path) -> str:
    return sha256(weights_file)
