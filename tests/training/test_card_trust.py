"""A card may come from anybody: what is given away can name what this process has already, and nothing else."""

import copy
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from classaware.commands.networks import open_dataset
from classaware.deployment.hub import PretrainedSegmenter
from classaware.errors import InputError
from classaware.models.heads import FCNHead
from classaware.training.card import NetworkCard, build_network, load_network
from classaware.training.folder import NetworkFolder, write_folder
from classaware.training.weights import write_weights

HEAD = {"class_path": "classaware.models.heads.FCNHead", "init_args": {"channels": 8}}
CARD = NetworkCard(
    network={"backbone": {"name": "test_resnet", "output_stride": 8}, "head": HEAD, "num_classes": 2},
    class_names=["a", "b"],
    palette=[[0, 0, 0], [9, 9, 9]],
    ignore_index=255,
    image_size=None,
    dataset={"class_path": "classaware.data.BiasedScenes", "init_args": {}},
)
Saved = Callable[[dict[str, Any]], list[Path]]


class OwnHead(FCNHead):
    """Of a module that is imported."""


@pytest.fixture
def given_away(tmp_path: Path) -> Saved:
    """A folder and a .safetensors file with changed parts of the card."""
    state = build_network(CARD.network).state_dict()

    def save(changes: dict[str, Any]) -> list[Path]:
        card = copy.deepcopy(CARD.to_dict()) | changes
        write_folder(tmp_path / "folder", NetworkFolder(state, card, None, None))
        write_weights(tmp_path / "file.safetensors", state, card, None)
        return [tmp_path / "folder", tmp_path / "file.safetensors"]

    return save


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the working folder that leaves a mark when it is imported; the mark."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted_module.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'mark')!r}).touch()\n"
        "from classaware.models.heads import FCNHead\nclass Planted(FCNHead): pass\n"
        "from classaware.data import BiasedScenes\nclass Data(BiasedScenes): pass\n"
    )
    return tmp_path / "mark"


def heads() -> list[Any]:
    yaml = "{class_path: planted_module.Planted, init_args: {channels: 8}}"
    named = {"class_path": "planted_module.Planted", "init_args": {"channels": 8}}
    return [
        named,
        "planted_module.Planted",
        yaml,
        json.dumps(named),
        HEAD | {"class_path": yaml},
        HEAD | {"init_args.channels": 8},
        HEAD | {"dict_kwargs": {"channels": 8}},
        HEAD | {"init_args": {"channels": named}},
        HEAD | {"init_args": {"channels": [named]}},
        HEAD | {"init_args": "planted_module.Planted"},
        {"class_path": "os.system", "init_args": {"command": "touch mark"}},
        {"class_path": "classaware.training.card.import_module", "init_args": {"name": "planted_module"}},
        {"class_path": "classaware.__main__.Head"},
        {"class_path": "pathlib.Path", "init_args": {}},
        "Planted",
        "",
        3,
        None,
    ]


@pytest.mark.parametrize("head", heads(), ids=repr)
def test_nothing_else_is_imported_or_called_for_a_network(given_away: Saved, planted: Path, head: Any) -> None:
    for path in given_away({"network": CARD.network | {"head": head}}):
        with pytest.raises(InputError, match="its own card"):
            load_network(path)
    assert not planted.exists()
    assert "planted_module" not in sys.modules


@pytest.mark.parametrize(
    "changes",
    [
        {"head.class_path": "planted_module.Planted"},
        {"backbone": "planted.yaml"},
        {"backbone": {"name": {"class_path": "planted_module.Planted"}}},
        {"backbone.weights": "planted_module.py"},
        {"car": {"class_path": "planted_module.Planted"}},
    ],
    ids=repr,
)
def test_other_parts_of_a_network_name_nothing(given_away: Saved, planted: Path, changes: dict[str, Any]) -> None:
    for path in given_away({"network": CARD.network | changes}):
        with pytest.raises(InputError, match="its own card"):
            load_network(path)
    assert not planted.exists()


@pytest.mark.parametrize(
    "dataset",
    [
        {"class_path": "planted_module.Data", "init_args": {}},
        {"class_path": "planted_module.Data"},
        {"class_path": "classaware.data.BiasedScenes", "init_args": {"size": {"class_path": "planted_module.Data"}}},
        {"class_path": "classaware.data.BiasedScenes", "init_args.size": 32},
        {"class_path": "os.system", "init_args": {"command": "touch mark"}},
        {"class_path": "classaware.data.FolderDataset", "init_args": {"root": "."}},
        {"class_path": "{class_path: planted_module.Data}"},
        {},
    ],
    ids=repr,
)
def test_nothing_else_is_imported_or_called_for_data(given_away: Saved, planted: Path, dataset: dict[str, Any]) -> None:
    for path in given_away({"dataset": dataset}):
        with pytest.raises(InputError, match="name it by --dataset"):
            open_dataset(load_network(path)[1].dataset, path)
    assert not planted.exists()


def test_what_is_imported_already_may_be_named(given_away: Saved) -> None:
    own = {"class_path": f"{__name__}.OwnHead", "init_args": {"channels": 8}}
    short = {"class_path": "FCNHead", "init_args": {"channels": 8}}
    for head, kind in ((own, OwnHead), (short, FCNHead), (HEAD, FCNHead)):
        for path in given_away({"network": CARD.network | {"head": head}}):
            assert type(load_network(path)[0].head) is kind
    for path in given_away({}):
        assert open_dataset(load_network(path)[1].dataset, path).num_classes > 1


def test_a_head_of_ones_own_is_asked_to_be_imported(given_away: Saved, planted: Path) -> None:
    head = {"class_path": "planted_module.Planted", "init_args": {"channels": 8}}
    folder, _ = given_away({"network": CARD.network | {"head": head}})
    with pytest.raises(InputError, match="import it first if you trust it"):
        PretrainedSegmenter.from_pretrained(folder)
    sys.path_importer_cache.clear()
    try:
        __import__("planted_module")
        assert type(PretrainedSegmenter.from_pretrained(folder).network.head).__name__ == "Planted"
    finally:
        sys.modules.pop("planted_module", None)


@pytest.mark.parametrize("ending", ["folder", "file.safetensors", "last.ckpt"])
def test_no_file_is_opened_and_nothing_downloaded_for_the_backbone(
    given_away: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    from classaware.models import backbone

    def never(*given: Any) -> Any:
        raise AssertionError(given)

    monkeypatch.setattr(backbone, "read_weights", never)
    monkeypatch.setattr("timm.models._builder.load_pretrained", never)
    for more in ({"weights": str(tmp_path / "foreign.pth")}, {"pretrained": "timm"}, {"pretrained": "offline"}):
        changed = CARD.network | {"backbone": {"name": "test_resnet", "output_stride": 8} | more}
        given_away({"network": changed})
        state = {f"network.{name}": value for name, value in build_network(CARD.network).state_dict().items()}
        card = dataclasses.replace(CARD, network=changed).to_dict()
        torch.save({"state_dict": state, "classaware": card}, tmp_path / "last.ckpt")
        network, _ = load_network(tmp_path / ending)
        assert network.num_classes == 2


def test_a_checkpoint_calls_heads_alone(tmp_path: Path, planted: Path) -> None:
    state = {f"network.{name}": value for name, value in build_network(CARD.network).state_dict().items()}
    marking = {"class_path": "os.system", "init_args": {"command": f"touch {planted}"}}
    for changes in ({"head": marking}, {"head": json.dumps(marking)}, {f"head.{k}": v for k, v in marking.items()}):
        card = dataclasses.replace(CARD, network=CARD.network | changes).to_dict()
        torch.save({"state_dict": state, "classaware": card}, tmp_path / "last.ckpt")
        with pytest.raises(InputError, match="its own card"):
            load_network(tmp_path / "last.ckpt")
    for dataset in (marking, {f"init_args.{k}": v for k, v in marking.items()}):
        with pytest.raises(InputError, match="--dataset"):
            open_dataset(dataset, tmp_path / "last.ckpt")
    assert not planted.exists()
    head = {"class_path": "planted_module.Planted", "init_args": {"channels": 8}}
    card = dataclasses.replace(CARD, network=CARD.network | {"head": head}).to_dict()
    torch.save({"state_dict": state, "classaware": card}, tmp_path / "last.ckpt")
    try:
        assert type(load_network(tmp_path / "last.ckpt")[0].head).__name__ == "Planted"
    finally:
        sys.modules.pop("planted_module", None)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_names": "ab"}, "class_names"),
        ({"class_names": ["a", 1]}, "class_names"),
        ({"class_names": ["a"]}, "palette"),
        ({"palette": [[0, 0, 0], [0, 0, 256]]}, "palette"),
        ({"palette": [[0, 0, 0], [0, 0]]}, "palette"),
        ({"palette": [[0, 0, 0], [0, 0, True]]}, "palette"),
        ({"palette": None}, "palette"),
        ({"network": CARD.network | {"num_classes": 3}}, "network.num_classes"),
        ({"network": CARD.network | {"num_classes": "2"}}, "network.num_classes"),
        ({"ignore_index": "255"}, "ignore_index"),
        ({"image_size": [4]}, "image_size"),
        ({"image_size": [0, 4]}, "image_size"),
        ({"inference": []}, "inference"),
        ({"network": CARD.network | {"backbone": {"name": "resnet5"}}}, "backbone 'resnet5' is not a timm model"),
        ({"network": CARD.network | {"head": HEAD | {"init_args": {"channels": 9}}}}, "size mismatch"),
        ({"network": CARD.network | {"depth": 3}}, "depth"),
    ],
    ids=repr,
)
def test_a_wrong_field_is_one_error_that_names_it(given_away: Saved, changes: dict[str, Any], named: str) -> None:
    for path in given_away(changes):
        with pytest.raises(InputError) as error:
            load_network(path)
        assert str(path) in str(error.value)
        assert named in str(error.value)
        assert len(str(error.value).splitlines()) == 1
