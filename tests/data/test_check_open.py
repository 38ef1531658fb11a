"""A data set from its folder alone, and what two splits share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classaware.data import BiasedScenes, CamVid, FolderDataset, Sample
from classaware.data.open import open_dataset, split_folders
from classaware.data.parallel import in_parallel
from classaware.data.shared import shared_images
from classaware.errors import InputError


def test_a_folder_with_classes(tmp_path: Path) -> None:
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "classes.txt").write_text("sky\n")
    dataset = open_dataset(tmp_path)
    assert type(dataset) is FolderDataset
    assert dataset.ignore_index == 255
    assert open_dataset(tmp_path, ignore_index=7).ignore_index == 7
    assert split_folders(dataset) == {"train": (tmp_path / "images/train", tmp_path / "masks/train")}


def test_camvid(tmp_path: Path) -> None:
    for name in ("train", "trainannot"):
        (tmp_path / name).mkdir()
    dataset = open_dataset(tmp_path)
    assert type(dataset) is CamVid
    assert split_folders(dataset)["val"] == (tmp_path / "val", tmp_path / "valannot")
    with pytest.raises(InputError, match=r"CamVid.*11.*leave ignore_index out"):
        open_dataset(tmp_path, ignore_index=7)


@pytest.mark.parametrize(
    ("name", "message"), [("away", "does not exist"), ("file", "is not a folder"), (".", "layouts")]
)
def test_what_is_no_data_set(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / name)


def test_folders_that_are_not_known() -> None:
    with pytest.raises(InputError, match="BiasedScenes"):
        split_folders(BiasedScenes.__new__(BiasedScenes))


def make(root: Path, contents: dict[str, bytes]) -> list[Sample]:
    root.mkdir()
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return [Sample(name, root / name, root / f"{name}.png") for name in contents]


def test_shared_images(tmp_path: Path) -> None:
    tail = b"x" * 5000
    first = make(tmp_path / "1", {"a": b"one", "b": b"two", "c": tail + b"1", "d": b"", "e": tail + b"3"})
    second = make(tmp_path / "2", {"p": b"two", "q": b"two", "r": tail + b"2", "s": tail + b"3", "t": b"longer"})
    pairs = [(one.name, other.name) for one, other in shared_images(first, second)]
    assert pairs == [("b", "p"), ("e", "s")]
    assert shared_images(first, []) == shared_images([], second) == []


def test_most_images_are_told_apart_unread(tmp_path: Path) -> None:
    first = make(tmp_path / "1", {"a": b"1", "b": b"22"})
    second = make(tmp_path / "2", {"p": b"333", "q": b"44"})
    read: list[Path] = []
    opened = Path.open

    def watched(path: Path, *arguments: object, **options: object) -> object:
        read.append(path)
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", watched)
        assert shared_images(first, second) == []
    assert read == [first[1].image, second[1].image]


def test_an_image_that_went_away(tmp_path: Path) -> None:
    samples = make(tmp_path / "1", {"a": b"1"})
    samples[0].image.unlink()
    with pytest.raises(InputError, match=r"1.a cannot be read"):
        shared_images(samples, samples)


def test_shared_images_are_those_of_equal_pixels_in_real_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(6)]
    samples = []
    for i, picture in enumerate([*pictures, pictures[2]]):
        Image.fromarray(picture).save(tmp_path / f"{i}.bmp")  # all of one size
        samples.append(Sample(str(i), tmp_path / f"{i}.bmp", tmp_path / "none"))
    assert [(a.name, b.name) for a, b in shared_images(samples[:4], samples[4:])] == [("2", "6")]


def half(number: int) -> int:
    if number % 2:
        raise InputError(f"{number} is odd")
    return number // 2


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_results_keep_their_order(workers: int) -> None:
    assert list(in_parallel(half, range(0, 400, 2), workers, None)) == list(range(200))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_another_process_is_raised_here(workers: int) -> None:
    with pytest.raises(InputError, match=r"^101 is odd$"):
        list(in_parallel(half, [*range(0, 100, 2), 101, 102, 103], workers, None))


def test_workers_below_0() -> None:
    with pytest.raises(InputError, match="workers=-1"):
        list(in_parallel(half, [0], -1, None))
