"""Networks as folders that model hubs have, without a network connection."""

import copy
import dataclasses
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, ModelCard, hub_mixin
from PIL import Image
from safetensors.torch import load_file, save_file

import classaware
from classaware import ClassAwareRegularization
from classaware.commands.main import main
from classaware.deployment import hub
from classaware.deployment.hub import PretrainedSegmenter
from classaware.deployment.opening import open_network
from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord, write_record
from classaware.training.card import NetworkCard, build_network, load_network, network_sha256, trained_steps
from classaware.training.folder import without_places

CARD = NetworkCard(
    network={
        "backbone": {"name": "test_resnet", "output_stride": 8, "pretrained": "no", "weights": None},
        "head": {"class_path": "classaware.models.SelfAttentionHead", "init_args": {"channels": 8, "key_channels": 4}},
        "car": "on",
        "projection": "1x1",
        "num_classes": 3,
    },
    class_names=["sky", "road | <b>bold</b>", "[car](http://x)"],
    palette=[[1, 2, 3], [40, 50, 60], [255, 0, 16]],
    ignore_index=255,
    image_size=None,
    dataset={"class_path": "classaware.data.FolderDataset", "init_args": {"root": "/home/jane/secret/streets"}},
    inference={"scales": [0.5, 1.0], "flip": True},
    training={"seed": 3, "steps": 7, "configuration": {"output": "C:\\Users\\jane\\run", "cache": "~jane/cache"}},
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with weights and running statistics of its own, as ``fit`` writes it."""
    torch.manual_seed(0)
    network = build_network(CARD.network).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 64, 64))
        # No class wins everywhere.
        network.classifier.bias -= network.eval()(torch.rand(1, 3, 64, 64)).logits.mean((0, 2, 3))
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "classaware": CARD.to_dict(), "global_step": 7}, path)
    return path


@pytest.fixture(scope="module")
def saved(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is only to be read."""
    path = tmp_path_factory.mktemp("hub") / "deep" / "streets"
    assert PretrainedSegmenter.from_checkpoint(checkpoint).save_pretrained(path) is None
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "folder"))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 49, 70, generator=torch.Generator().manual_seed(1))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def equal(one: Any, other: Any, images: torch.Tensor) -> bool:
    """Whether two networks give the very same numbers."""
    with torch.no_grad():
        ours, theirs = one(images), other(images)
    return torch.equal(ours.logits, theirs.logits) and torch.equal(ours.features, theirs.features)


def test_a_folder_gives_the_very_same_network(checkpoint: Path, saved: Path, images: torch.Tensor) -> None:
    original, card = load_network(checkpoint)
    for loaded in (
        PretrainedSegmenter.from_pretrained(saved),
        PretrainedSegmenter.from_pretrained(str(saved)),
        PretrainedSegmenter.from_pretrained(os.path.relpath(saved)),
        PretrainedSegmenter.from_checkpoint(saved),
        open_network(saved)[0],
    ):
        assert not loaded.training
        assert equal(loaded, original, images)
        assert equal(loaded.fold(), original.fold(), images)
    again = PretrainedSegmenter.from_pretrained(saved)
    assert again.step == 7
    assert again.card == dataclasses.replace(card, dataset=again.card.dataset, training=again.card.training)
    assert classaware.PretrainedSegmenter is PretrainedSegmenter
    for copied in (copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        assert equal(copied, again, images)
        assert copied.card == again.card


def test_the_folder_is_what_hubs_expect_and_names_no_place(saved: Path, checkpoint: Path) -> None:
    assert names_in(saved) == ["README.md", "config.json", "model.safetensors"]
    assert names_in(saved.parent) == ["streets"]
    weights = load_file(saved / "model.safetensors")
    assert weights.keys() == load_network(checkpoint)[0].state_dict().keys()
    config = json.loads((saved / "config.json").read_text())
    assert config["card"]["class_names"] == CARD.class_names
    assert config["card"]["dataset"]["init_args"]["root"] == "streets"
    assert config["card"]["training"]["configuration"] == {"output": "run", "cache": "cache"}
    for name in ("README.md", "config.json"):
        text = (saved / name).read_text()
        for leak in ("jane", "/home", "Users", str(checkpoint.parent)):
            assert leak not in text, (name, leak)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/a/b c/d", "d"),
        ("/a/b/", "b"),
        ("D:/x/y", "y"),
        ("\\\\server\\share\\y", "y"),
        ("../up/z", "z"),
        ("file:///h/me/x", "x"),
        ("~", "~"),
        ("timm/resnet18", "timm/resnet18"),
        ("https://a.org/b", "https://a.org/b"),
        ("classaware.data.Folder", "classaware.data.Folder"),
        ("32-true", "32-true"),
        ("", ""),
    ],
)
def test_only_places_of_a_machine_are_reduced(text: str, left: str) -> None:
    assert without_places({"a": [text, 1, None]}) == {"a": [left, 1, None]}


def test_the_page_says_what_it_is_and_nothing_that_was_smuggled_in(saved: Path) -> None:
    page = ModelCard.load(saved / "README.md")
    assert page.data.library_name == "classaware"
    assert page.data.pipeline_tag == "image-segmentation"
    assert page.data.license is None
    lines = page.text.splitlines()
    assert "| 0 | sky | \\#010203 |" in lines
    assert "| 2 | \\[car\\](http\\://x) | \\#ff0010 |" in lines
    assert not [line for line in lines if "<b>" in line.replace("\\<b", "")]
    assert "| steps | 7 |" in lines
    assert "streets" in page.text
    assert "## License" in lines
    assert "## Results" not in lines


def test_the_license_is_for_the_publisher_to_say(checkpoint: Path, tmp_path: Path) -> None:
    network = PretrainedSegmenter.from_checkpoint(checkpoint)
    network.save_pretrained(tmp_path / "x", model_card_kwargs={"license": "mit"})
    page = ModelCard.load(tmp_path / "x" / "README.md")
    assert page.data.license == "mit"
    assert "## License" not in page.text


def make_record(path: Path, sha256: str) -> EvaluationRecord:
    confusion = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    right = confusion.diagonal()
    counts = np.stack((right, confusion.sum(0) - right, confusion.sum(1) - right), 1)[None]
    record = EvaluationRecord(
        class_names=tuple(CARD.class_names),
        confusion=confusion,
        names=("a",),
        counts=counts,
        data={"name": "FolderDataset", "split": "test", "images": 1, "dataset": CARD.dataset},
        inference={"scales": [1.0], "flip": False},
        checkpoint={"path": "/home/jane/x", "sha256": sha256, "step": 7},
        date="2026-01-01T00:00:00+00:00",
    )
    write_record(path, record)
    return record


def test_what_was_measured_travels_with_it(checkpoint: Path, tmp_path: Path) -> None:
    record = make_record(tmp_path / "scores.json", network_sha256(checkpoint))
    network = PretrainedSegmenter.from_checkpoint(checkpoint, metrics=tmp_path / "scores.json")
    network.save_pretrained(tmp_path / "x")
    again = PretrainedSegmenter.from_pretrained(tmp_path / "x")
    assert again.metrics == network.metrics
    assert again.metrics is not None
    assert again.metrics["mean_iou"] == pytest.approx((8 / 11 + 9 / 12) / 2) == record.mean_iou
    assert again.metrics["iou"]["[car](http://x)"] is None
    assert again.metrics["data"] == "streets"
    page = ModelCard.load(tmp_path / "x" / "README.md")
    assert f"| mean IoU | {100 * record.mean_iou:.2f} |" in page.text
    (result,) = page.data.eval_results or []
    assert (result.metric_type, result.metric_value) == ("mean_iou", record.mean_iou)
    for file in ("README.md", "config.json"):
        assert "jane" not in (tmp_path / "x" / file).read_text()
    make_record(tmp_path / "other.json", 64 * "0")
    with pytest.raises(InputError, match="another network"):
        PretrainedSegmenter.from_checkpoint(checkpoint, metrics=tmp_path / "other.json")


def test_commands_take_the_folder_and_predict_is_the_commands(
    saved: Path, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name, path in (("folder", saved), ("checkpoint", checkpoint)):
        call = ["predict", str(path), str(tmp_path / "a.png"), "--output", str(tmp_path / name), "--device", "cpu"]
        assert main(call) == 0, capfd.readouterr().err
    masks = [np.array(Image.open(tmp_path / name / "masks" / "a.png")) for name in ("folder", "checkpoint")]
    assert np.array_equal(*masks)
    assert len(np.unique(masks[0])) > 1
    network = PretrainedSegmenter.from_pretrained(saved)
    assert np.array_equal(network.predict(pixels), masks[0])
    assert np.array_equal(network.predict(pixels[:, ::-1])[:, ::-1], network.predict(pixels[:, ::-1].copy())[:, ::-1])
    for image in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(network.train().predict(image), masks[0])
        assert network.training
    for bad in (pixels[0], pixels.astype(float), pixels[..., :1], [[1]], tmp_path / "none.png"):
        with pytest.raises(InputError):
            network.predict(bad)  # type: ignore[arg-type]


def test_training_goes_on_from_it(saved: Path, tmp_path: Path, images: torch.Tensor) -> None:
    network = PretrainedSegmenter.from_pretrained(saved).train()
    car = ClassAwareRegularization(num_classes=3)
    labels = torch.arange(49 * 70).view(1, 49, 70).expand(2, -1, -1) // 1200
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    losses = []
    for _ in range(4):
        output = network(images)
        logits = torch.nn.functional.interpolate(output.logits, size=(49, 70))
        loss = torch.nn.functional.cross_entropy(logits, labels) + car(output.features, labels).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.network.classifier.parameters())
    network.save_pretrained(tmp_path / "x")
    again = PretrainedSegmenter.from_pretrained(tmp_path / "x")
    assert equal(again, network.eval(), images)
    assert not equal(again, PretrainedSegmenter.from_pretrained(saved), images)


def test_saving_again_replaces_the_network_and_keeps_the_readme(folder: Path) -> None:
    (folder / "README.md").write_text("mine")
    (folder / "notes.txt").write_text("mine too")
    network = PretrainedSegmenter.from_pretrained(folder)
    torch.nn.init.constant_(network.network.classifier.weight, 0.5)
    network.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"
    assert names_in(folder) == ["README.md", "config.json", "model.safetensors", "notes.txt"]
    assert bool((PretrainedSegmenter.from_pretrained(folder).network.classifier.weight == 0.5).all())


def test_saving_another_network_replaces_the_page_of_the_first(folder: Path) -> None:
    first = (folder / "README.md").read_text()
    network = PretrainedSegmenter.from_pretrained(folder)
    network.card = dataclasses.replace(network.card, class_names=["one", "two", "three"])
    network.save_pretrained(folder)
    second = (folder / "README.md").read_text()
    assert second != first
    assert "| 0 | one |" in second
    # A page that somebody edited stays, however often.
    (folder / "README.md").write_text(second + "mine")
    for name in ("four", "five"):
        network.card = dataclasses.replace(network.card, class_names=[name, "two", "three"])
        network.save_pretrained(folder)
        assert (folder / "README.md").read_text() == second + "mine"
    # So does one beside a configuration that nobody can read.
    (folder / "config.json").write_text("{")
    network.save_pretrained(folder)
    assert (folder / "README.md").read_text() == second + "mine"


@pytest.mark.parametrize("device", ["abacus", "meta:", "privateuseone:7", 3.5])
def test_a_device_that_is_not_there_is_named(saved: Path, device: Any) -> None:
    with pytest.raises(InputError, match="map_location="):
        PretrainedSegmenter.from_pretrained(saved, map_location=device)


def test_an_empty_path_is_not_the_working_folder(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    network = PretrainedSegmenter.from_pretrained(".")
    before = {path: path.read_bytes() for path in saved.iterdir()}
    for call in (
        PretrainedSegmenter.from_pretrained,
        PretrainedSegmenter.from_checkpoint,
        network.predict,
        network.save_pretrained,
    ):
        with pytest.raises(InputError, match="path '' is empty"):
            call("")
    assert {path: path.read_bytes() for path in saved.iterdir()} == before


def test_names_may_be_as_long_as_names_can_be(saved: Path, tmp_path: Path) -> None:
    PretrainedSegmenter.from_pretrained(saved).save_pretrained(tmp_path / (255 * "x"))
    assert names_in(tmp_path) == [255 * "x"]


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_half_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, images: torch.Tensor
) -> None:
    target = folder if there else tmp_path / "new"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    network = PretrainedSegmenter.from_pretrained(folder)
    torch.nn.init.zeros_(network.network.classifier.weight)

    def failing(*given: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "describe_network", failing)
    with pytest.raises(InputError, match="No space left"):
        network.save_pretrained(target)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert names_in(tmp_path) == ["folder"]


def test_a_place_that_cannot_be_written_to_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    network = PretrainedSegmenter.from_pretrained(folder)
    for target in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(InputError, match=f"cannot write {target}"):
            network.save_pretrained(target)
    assert names_in(tmp_path) == ["file", "folder"]
    with pytest.raises(InputError, match="card"):
        network.save_pretrained(tmp_path / "x", config={})


def config_of(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))


def flip_a_weight(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def cut(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


DAMAGES: dict[str, tuple[Any, str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "cut weights": (cut, "model.safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors"),
    "one bit": (flip_a_weight, "weights_sha256"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json"),
    "cut configuration": (lambda f: (f / "config.json").write_text('{"format'), "config.json"),
    "no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "config.json"),
    "deep": (lambda f: (f / "config.json").write_text(100_000 * "["), "config.json"),
    "another library's": (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "not written by class"),
    "no card": (lambda f: config_of(f, card=None), "not written by classaware"),
    "newer": (lambda f: config_of(f, version=2), "version 2"),
    "a card without classes": (lambda f: config_of(f, card={"network": {}}), "its own card"),
    "another network": (
        lambda f: config_of(f, card=CARD.to_dict() | {"network": CARD.network | {"num_classes": 4}}),
        "its own card",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named(folder: Path, damage: str, capfd: pytest.CaptureFixture[str]) -> None:
    change, named = DAMAGES[damage]
    change(folder)
    with pytest.raises(InputError) as error:
        PretrainedSegmenter.from_pretrained(folder)
    assert str(folder) in str(error.value)
    assert named in str(error.value)
    assert main(["predict", str(folder), str(folder / "x.png"), "--output", str(folder / "out")]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_configuration_calls_no_function(folder: Path, tmp_path: Path) -> None:
    """It may come from anybody; ``weights_only`` loading would be worth nothing otherwise."""
    command = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path / 'done'}"}}
    opened = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(tmp_path / "done")]}}
    hidden = json.dumps(command).replace("os.system", "os\\u002esystem")  # a name without a dot to whoever looks
    for head in (command, opened, hidden, "os.abort", {"class_path": "builtins.exec"}, {"class_path": 3}, None):
        config_of(folder, card=CARD.to_dict() | {"network": CARD.network | {"head": head}})
        with pytest.raises(InputError, match="its own card"):
            PretrainedSegmenter.from_pretrained(folder)
    behind = {f"head.{name}": value for name, value in command.items()}
    config_of(folder, card=CARD.to_dict() | {"network": CARD.network | behind})
    with pytest.raises(InputError, match="its own card"):
        PretrainedSegmenter.from_pretrained(folder)
    assert not (tmp_path / "done").exists()


def test_weights_may_be_changed_on_purpose_and_be_incomplete_on_request(folder: Path) -> None:
    mapped = load_file(folder / "model.safetensors")  # of the file that is written below
    weights = {name: tensor.clone() for name, tensor in mapped.items()}
    bias = weights.pop("classifier.bias")
    save_file(weights | {"more": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(InputError, match="weights_sha256"):
        PretrainedSegmenter.from_pretrained(folder, strict=False)
    config_of(folder, weights_sha256=None)
    with pytest.raises(InputError, match="its own card"):
        PretrainedSegmenter.from_pretrained(folder)
    loaded = PretrainedSegmenter.from_pretrained(folder, strict=False, map_location="cpu")
    assert torch.equal(loaded.network.classifier.weight, weights["classifier.weight"])
    assert loaded.network.classifier.bias is not None
    assert loaded.network.classifier.bias.shape == bias.shape


@pytest.mark.parametrize("name", ["nobody/nothing", "./nothing", "/no/such/folder", "a/b/c", "", "é"])
def test_what_is_nowhere_is_one_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        PretrainedSegmenter.from_pretrained(name, local_files_only=True, cache_dir=tmp_path / "cache")
    assert repr(name) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_is_no_folder(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="from_checkpoint"):
        PretrainedSegmenter.from_pretrained(checkpoint)


def test_a_repository_that_is_in_the_cache_is_loaded_offline(saved: Path, tmp_path: Path, images: torch.Tensor) -> None:
    """The layout of the Hub's own cache."""
    snapshot = tmp_path / "cache" / "models--jane--streets" / "snapshots" / (40 * "a")
    shutil.copytree(saved, snapshot)
    reference = snapshot.parents[1] / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(40 * "a")
    loaded = PretrainedSegmenter.from_pretrained("jane/streets", local_files_only=True, cache_dir=tmp_path / "cache")
    assert equal(loaded, PretrainedSegmenter.from_pretrained(saved), images)


def test_pushing_uploads_the_folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[dict[str, bytes]] = []
    created = 0

    class Api(HfApi):
        def create_repo(self, repo_id: str, **more: Any) -> Any:
            nonlocal created
            created += 1
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, *, folder_path: Any, **more: Any) -> Any:
            uploads.append({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})
            return f"https://hub/{more['repo_id']}"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    network = PretrainedSegmenter.from_pretrained(saved)
    assert network.push_to_hub("jane/streets") == "https://hub/jane/streets"
    assert network.save_pretrained(tmp_path / "streets", push_to_hub=True) == "https://hub/streets"
    own = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert uploads == [own, own]
    with pytest.raises(InputError, match="card"):
        network.push_to_hub("jane/streets", config={"a": 1})
    with pytest.raises(InputError, match="card"):
        network.save_pretrained(tmp_path / "y", config={"a": 1}, push_to_hub=True)
    assert (created, len(uploads)) == (2, 2)


def test_steps_and_checksum_of_a_folder_are_known(saved: Path, checkpoint: Path) -> None:
    assert trained_steps(saved) == trained_steps(checkpoint) == 7
    assert network_sha256(saved) == json.loads((saved / "config.json").read_text())["weights_sha256"]
    assert len(network_sha256(checkpoint)) == 64
