"""A data set from nothing but the folder in which it lies."""

from pathlib import Path
from typing import NamedTuple

from classaware.data.camvid import CamVid
from classaware.data.dataset import SegmentationDataset
from classaware.data.folder import FolderDataset
from classaware.errors import InputError


class SplitFolders(NamedTuple):
    """Where the files of a split lie."""

    images: Path
    masks: Path


def open_dataset(path: Path, ignore_index: int | None = None) -> SegmentationDataset:
    """The data set in a folder: one that ``classaware data prepare`` wrote, anybody's own, or CamVid as it comes.

    Args:
        path: folder with classes.txt, images/SPLIT and masks/SPLIT (``FolderDataset``), or with train and trainannot
            (``CamVid``).
        ignore_index: value of pixels without a class; by default the data set's own.

    Raises:
        InputError: no such folder, none of these layouts, or what the data set itself refuses.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"data folder {path} does not exist." if not path.exists() else f"{path} is not a folder.")
    if (path / "classes.txt").exists() or (path / "images").is_dir():
        return FolderDataset(path) if ignore_index is None else FolderDataset(path, ignore_index=ignore_index)
    if (path / "train").is_dir() and (path / "trainannot").is_dir():
        if ignore_index is not None:
            raise InputError(f"{path} is CamVid, whose value of unlabeled pixels is 11: leave ignore_index out.")
        return CamVid(path)
    raise InputError(
        f"{path} has none of the layouts that are read: classes.txt with images/SPLIT/X.jpg and masks/SPLIT/X.png, or "
        "CamVid's train/X.png with trainannot/X.png. 'classaware data prepare' brings public data sets, and folders of "
        "another layout, into the first."
    )


def split_folders(dataset: SegmentationDataset) -> dict[str, SplitFolders]:
    """By split, the folders from which ``dataset.samples`` takes its files.

    Raises:
        InputError: a data set that is not kept in folders that are known here.
    """
    if isinstance(dataset, FolderDataset):
        return {s: SplitFolders(dataset.root / "images" / s, dataset.root / "masks" / s) for s in dataset.splits}
    if isinstance(dataset, CamVid):
        return {s: SplitFolders(dataset.root / s, dataset.root / f"{s}annot") for s in dataset.splits}
    raise InputError(f"{type(dataset).__name__} cannot be checked: its folders are not known. Give a folder data set.")
