"""What worker processes may change: nothing, neither batches nor the words of an error."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.data import FolderDataset, SegmentationData
from classaware.errors import InputError

NUMBER = 9


@pytest.fixture
def data_set(tmp_path: Path) -> FolderDataset:
    """Nine images of different sizes."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind / "train").mkdir(parents=True)
    for i in range(NUMBER):
        size = (12 + i, 20 - i)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"images/train/{i}.png")
        Image.fromarray(random.integers(0, 3, size, dtype=np.uint8)).save(tmp_path / f"masks/train/{i}.png")
    (tmp_path / "classes.txt").write_text("sky\ntree\nroad\n")
    return FolderDataset(tmp_path)


def module_of(data_set: FolderDataset, trainer: dict[str, int] | None = None, **options: Any) -> SegmentationData:
    plain: dict[str, Any] = {"batch_size": 2, "crop_size": (14, 15), "val_split": "train"}
    data = SegmentationData(data_set, **(plain | options))
    standard = {"max_steps": 7, "accumulate_grad_batches": 1, "global_step": 0, "global_rank": 0, "world_size": 1}
    data.trainer = SimpleNamespace(**(standard | (trainer or {})))  # type: ignore[assignment]
    return data


def flat(batches: list[dict[str, Any]]) -> list[tuple[str, bytes, bytes]]:
    return [
        (name, image.numpy().tobytes(), label.numpy().tobytes())
        for batch in batches
        for name, image, label in zip(batch["name"], batch["image"], batch["label"], strict=True)
    ]


def test_0_1_and_2_workers_give_the_same_batches(data_set: FolderDataset) -> None:
    torch.manual_seed(0)
    expected = flat(list(module_of(data_set, num_workers=0).train_dataloader()))
    for workers in (1, 2):
        torch.manual_seed(workers)  # of the base seed of workers, on which nothing may hang
        assert flat(list(module_of(data_set, num_workers=workers).train_dataloader())) == expected
    assert len(expected) == 14
    assert len({name for name, *_ in expected[:NUMBER]}) == NUMBER
    assert flat(list(module_of(data_set, num_workers=0, seed=1).train_dataloader())) != expected


def test_a_second_pass_with_the_same_workers_is_the_first_again(data_set: FolderDataset) -> None:
    loader = module_of(data_set, num_workers=1).val_dataloader()
    first = flat(list(loader))
    next(iter(loader))  # a pass that is given up
    assert flat(list(loader)) == first
    assert [name for name, *_ in first] == [str(i) for i in range(NUMBER)]


def test_two_processes_share_the_batches_of_one(data_set: FolderDataset) -> None:
    whole = list(module_of(data_set, batch_size=4, num_workers=0).train_dataloader())
    ranks = [
        list(module_of(data_set, {"global_rank": rank, "world_size": 2}, num_workers=0).train_dataloader())
        for rank in range(2)
    ]
    assert len(whole) == len(ranks[0]) == len(ranks[1]) == 7
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert sorted(flat([batch])) == sorted(flat(parts))


@pytest.mark.parametrize("workers", [0, 1])
def test_two_processes_evaluate_every_image_once(data_set: FolderDataset, workers: int) -> None:
    names: list[str] = []
    for rank in range(2):
        data = module_of(data_set, {"global_rank": rank, "world_size": 2}, num_workers=workers)
        names += [name for batch in data.val_dataloader() for name in batch["name"]]
    assert sorted(names) == [str(i) for i in range(NUMBER)]


def message(loader: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(loader)
    if loader.num_workers:
        assert "Original Traceback" in str(caught.value.__cause__)
        loader._iterator._shutdown_workers()  # left to the garbage collector it takes torch 5 seconds
    return str(caught.value)


@pytest.mark.parametrize("training", [True, False])
def test_mixed_sizes_are_found_before_anything_is_read(data_set: FolderDataset, training: bool) -> None:
    data = module_of(data_set, num_workers=1, crop_size=None, eval_batch_size=2)
    with pytest.raises(InputError, match="images of different sizes do not fit into one batch") as caught:
        _ = data.train_dataloader() if training else data.val_dataloader()
    assert ("data.crop_size" if training else "a batch size of 1") in str(caught.value)


def test_a_damaged_file_in_a_worker_is_one_line_with_its_name(data_set: FolderDataset) -> None:
    (data_set.root / "images/train/5.png").write_bytes(b"damaged")
    expected = message(module_of(data_set, num_workers=0).val_dataloader())
    assert expected.startswith(f"{data_set.root}/images/train/5.png cannot be read")
    assert message(module_of(data_set, num_workers=1).val_dataloader()) == expected
    assert "\n" not in expected


def test_labels_keep_their_sizes_in_evaluation_so_these_are_looked_at_too(data_set: FolderDataset) -> None:
    data = module_of(data_set, num_workers=0, image_size=(8, 8), eval_batch_size=2)
    with pytest.raises(InputError, match=r"is 12x20 and .* 13x19|is 13x19 and .* 12x20"):
        data.val_dataloader()


@pytest.mark.parametrize("name", ["image_size", "crop_size"])
@pytest.mark.parametrize("size", [(0, 8), (8, -1)])
def test_sizes_below_1(data_set: FolderDataset, name: str, size: Any) -> None:
    with pytest.raises(InputError, match=rf"{name}=\[{size[0]}, {size[1]}\]"):
        SegmentationData(data_set, **{name: size})


def test_a_training_loader_needs_a_trainer(data_set: FolderDataset) -> None:
    with pytest.raises(RuntimeError, match="Trainer"):
        SegmentationData(data_set).train_dataloader()


@pytest.mark.parametrize("photometric", [False, True])
def test_threads_of_the_main_process_change_nothing(tmp_path: Path, photometric: bool) -> None:
    """Images large enough for torch to share the work among threads, which rounds sums by their number."""
    random = np.random.default_rng(0)
    for kind, shape, values in (("images", (400, 500, 3), 256), ("masks", (400, 500), 3)):
        (tmp_path / kind / "train").mkdir(parents=True)
        for i in range(4):
            picture = Image.fromarray(random.integers(0, values, shape, dtype=np.uint8))
            picture.save(tmp_path / kind / f"train/{i}.png")
    (tmp_path / "classes.txt").write_text("sky\ntree\nroad\n")
    options: dict[str, Any] = {"crop_size": (400, 500), "photometric": photometric, "trainer": {"max_steps": 4}}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        here = flat(list(module_of(FolderDataset(tmp_path), num_workers=0, **options).train_dataloader()))
        assert torch.get_num_threads() == 2
        workers = flat(list(module_of(FolderDataset(tmp_path), num_workers=1, **options).train_dataloader()))
    finally:
        torch.set_num_threads(threads)
    assert here == workers
