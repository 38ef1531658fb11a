"""Biased scenes: generated images whose things stand nearly always on their favorite context."""

import json
import os
import shutil
import uuid
from pathlib import Path

from PIL import Image
from rich.progress import track

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.folder import FolderDataset
from classaware.data.scenes import CLASS_NAMES, FAVORITES, PALETTE, STUFF, draw_scene
from classaware.errors import InputError

_VERSION = 1  # of the pixels; raised whenever the drawing changes
_FAMILIAR = 950  # of 1000 things on their favorite context, outside "unseen"


class BiasedScenes(SegmentationDataset):
    """Scenes drawn on first use and cached: 4 contexts ("stuff") and 8 things, each with one favorite context.

    In ``train``, ``val`` and ``seen`` a thing stands on its favorite context with probability 0.95; in ``unseen``
    never, and that context is not even in the image. The same arguments give the same pixels on every platform.

    Args:
        root: cache folder; default is $XDG_CACHE_HOME or ~/.cache, /classaware/biased-scenes.
        seed: of all scenes.
        size: side of the square images in pixels, at least 32.
        train: number of scenes to train on.
        val: number of scenes to choose on.
        test: number of scenes in ``seen``, and in ``unseen``.
        cue: how visible a thing's own pattern is, 0 (not at all) to 256 (without noise).
    """

    class_names = CLASS_NAMES
    palette = PALETTE
    splits = ("train", "val", "seen", "unseen")
    stuff = tuple(range(len(STUFF)))
    things = tuple(FAVORITES)
    favorites = FAVORITES

    def __init__(
        self,
        root: Path | None = None,
        seed: int = 0,
        size: int = 128,
        train: int = 1200,
        val: int = 100,
        test: int = 200,
        cue: int = 96,
    ) -> None:
        if not 0 <= seed < 2**32:
            raise InputError(f"seed={seed}: must be in 0 to 4294967295.")
        if size < 32 or not 0 <= cue <= 256 or min(train, val, test) < 1:
            raise InputError(
                f"size={size} must be at least 32, cue={cue} in 0..256, and train={train}, val={val}, test={test} at "
                "least 1."
            )
        self.parameters = {"seed": seed, "size": size, "train": train, "val": val, "test": test, "cue": cue}
        self.seed, self.size, self.cue = seed, size, cue
        self.counts = {"train": train, "val": val, "seen": test, "unseen": test}
        key = f"v{_VERSION}-seed{seed}-size{size}-cue{cue}-{train}-{val}-{test}"
        self.root = (Path(root) if root is not None else _cache()) / key
        if not self.root.is_dir():
            self._build()
        self._folder = FolderDataset(self.root)

    def samples(self, split: str) -> list[Sample]:
        """All scenes of a split."""
        self.check_split(split)
        return self._folder.samples(split)

    def _build(self) -> None:
        """Draw everything into a folder beside the target and rename it; whoever builds at the same time may win."""
        unfinished = self.root.with_name(f".{self.root.name}.{uuid.uuid4().hex}.part")
        try:
            for split in self.splits:
                self._draw_split(split, unfinished)
            (unfinished / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")
            favorites = {CLASS_NAMES[thing]: CLASS_NAMES[context] for thing, context in FAVORITES.items()}
            (unfinished / "favorites.json").write_text(json.dumps(favorites, indent=2) + "\n")
            unfinished.rename(self.root)
        except OSError as error:
            if not self.root.is_dir():
                raise InputError(
                    f"the scenes cannot be written to {self.root} ({error.strerror or error}): set data.dataset.root "
                    "or XDG_CACHE_HOME to a folder with room."
                ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _draw_split(self, split: str, folder: Path) -> None:
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        number, familiar = self.splits.index(split), 0 if split == "unseen" else _FAMILIAR
        for i in track(range(self.counts[split]), f"drawing scenes: {split}", transient=True):
            scene = draw_scene((self.seed, number, i), self.size, familiar, self.cue)
            Image.fromarray(scene.image).save(folder / "images" / split / f"{i:05}.png", compress_level=1)
            Image.fromarray(scene.label).save(folder / "masks" / split / f"{i:05}.png")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "classaware" / "biased-scenes"
