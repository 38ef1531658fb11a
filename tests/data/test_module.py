from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from classaware.data import BiasedScenes, FolderDataset, SegmentationData
from classaware.errors import InputError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> BiasedScenes:
    return BiasedScenes(tmp_path_factory.mktemp("scenes"), size=32, train=7, val=5, test=2)


def attached(data: SegmentationData, **trainer: int) -> SegmentationData:
    standard = {"max_steps": 6, "accumulate_grad_batches": 1, "global_step": 0, "global_rank": 0, "world_size": 1}
    data.trainer = SimpleNamespace(**(standard | trainer))  # type: ignore[assignment]
    return data


def same(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) else a == b

    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a) for a, b in zip(first, second, strict=True)
    )


def training(scenes: BiasedScenes, workers: int = 0, **trainer: int) -> list[dict[str, Any]]:
    data = SegmentationData(scenes, batch_size=3, crop_size=(24, 24), num_workers=workers)
    return list(attached(data, **trainer).train_dataloader())


def test_batches_have_the_promised_form(scenes: BiasedScenes) -> None:
    batches = training(scenes)
    assert len(batches) == 6
    for batch in batches:
        assert batch["image"].shape == (3, 3, 24, 24)
        assert batch["image"].dtype == torch.float32
        assert 0 <= batch["image"].min() < batch["image"].max() <= 1
        assert batch["label"].shape == (3, 24, 24)
        assert batch["label"].dtype == torch.int64
        assert len(batch["name"]) == 3
        assert type(batch["image"]) is type(batch["label"]) is Tensor


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(scenes: BiasedScenes, workers: int) -> None:
    assert same(training(scenes, workers), training(scenes))


def test_a_resumed_run_gets_what_the_whole_run_got(scenes: BiasedScenes) -> None:
    assert same(training(scenes, global_step=4), training(scenes)[4:])


def test_the_step_is_read_when_iteration_begins(scenes: BiasedScenes) -> None:
    data = attached(SegmentationData(scenes, batch_size=3, crop_size=(24, 24), num_workers=0))
    loader = data.train_dataloader()
    data.trainer.global_step = 5  # type: ignore[union-attr,misc]
    assert same(list(loader), training(scenes)[5:])


def test_accumulated_batches_count(scenes: BiasedScenes) -> None:
    whole = training(scenes, max_steps=3, accumulate_grad_batches=2)
    assert same(whole, training(scenes))
    assert same(training(scenes, max_steps=3, accumulate_grad_batches=2, global_step=2), whole[4:])


def test_two_visits_of_an_image_are_augmented_differently(scenes: BiasedScenes) -> None:
    visits: dict[str, list[Tensor]] = {}
    for batch in training(scenes):
        for name, image in zip(batch["name"], batch["image"], strict=True):
            visits.setdefault(name, []).append(image)
    pairs = [images for images in visits.values() if len(images) > 1]
    assert len(pairs) == 7
    assert not any(torch.equal(images[0], images[1]) for images in pairs)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_counts_every_image_once(scenes: BiasedScenes, world: int) -> None:
    names: list[str] = []
    for rank in range(world):
        data = attached(SegmentationData(scenes, num_workers=0), global_rank=rank, world_size=world)
        names += [name for batch in data.val_dataloader() for name in batch["name"]]
    assert sorted(names) == [sample.name for sample in scenes.samples("val")]


def test_evaluation_needs_no_trainer_and_keeps_the_order(scenes: BiasedScenes) -> None:
    loader = SegmentationData(scenes, eval_batch_size=2, num_workers=0).eval_dataloader("val")
    batches = list(loader)
    assert [len(batch["name"]) for batch in batches] == [2, 2, 1]
    samples = scenes.samples("val")
    assert [name for batch in batches for name in batch["name"]] == [sample.name for sample in samples]
    image, label = scenes.read(samples[0])
    assert torch.equal(batches[0]["image"][0], image.as_subclass(Tensor))
    assert torch.equal(batches[0]["label"][0], label.as_subclass(Tensor))


@pytest.fixture
def mixed(tmp_path: Path) -> FolderDataset:
    """Two images of different sizes."""
    for name, size in (("a", (20, 30)), ("b", (25, 30))):
        for kind, shape in (("images", (*size, 3)), ("masks", size)):
            (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros(shape, dtype=np.uint8)).save(tmp_path / kind / "train" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("nothing\nsomething\n")
    return FolderDataset(tmp_path)


def loader_of(mixed: FolderDataset, training: bool, **options: Any) -> DataLoader[dict[str, Any]]:
    data = attached(SegmentationData(mixed, batch_size=2, eval_batch_size=2, **options))
    return data.train_dataloader() if training else data.eval_dataloader("train")


@pytest.mark.parametrize(("train", "cure"), [(True, "crop_size"), (False, "batch size of 1")])
@pytest.mark.parametrize("workers", [0, 1])
def test_mixed_sizes_name_the_cure(mixed: FolderDataset, train: bool, cure: str, workers: int) -> None:
    with pytest.raises(InputError, match=cure) as caught:
        list(loader_of(mixed, train, num_workers=workers))
    assert "\n" not in str(caught.value)  # no traceback of a worker


def test_the_cures_work(mixed: FolderDataset) -> None:
    assert len(list(loader_of(mixed, True, crop_size=(16, 16), num_workers=0))) == 6
    assert len(list(loader_of(mixed, True, image_size=(16, 16), num_workers=0))) == 6
    data = SegmentationData(mixed, eval_batch_size=1, num_workers=0)
    assert [tuple(batch["label"].shape) for batch in data.eval_dataloader("train")] == [(1, 20, 30), (1, 25, 30)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_an_input_error_from_workers_too(mixed: FolderDataset, workers: int) -> None:
    (mixed.root / "masks/train/b.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"b\.png") as caught:
        list(loader_of(mixed, True, crop_size=(16, 16), num_workers=workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad", [{"batch_size": 0}, {"eval_batch_size": 0}, {"num_workers": -1}, {"scales": ()}, {"scales": (1.0, 0.0)}]
)
def test_bad_options_are_named(scenes: BiasedScenes, bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        SegmentationData(scenes, **bad)


def test_properties_of_the_data_set(scenes: BiasedScenes) -> None:
    data = SegmentationData(scenes)
    assert (data.num_classes, data.ignore_index) == (12, 255)
