"""The scenes as a built data set: their pixels, their bias, and builds that fail or meet each other."""

import errno
import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import classaware.data.biased_scenes as module
from classaware.data import BiasedScenes
from classaware.data.scenes import FAVORITES, Scene, draw_scene
from classaware.errors import InputError

# Of the pixels of version 1: whoever changes the drawing raises the version of BiasedScenes with it.
GOLDEN = {
    "train": "0eea96e42485895d85b13b2f02f4a7e2143060a583b62e095006b4e1f2488806",
    "val": "d87b3fc06aabc7bb767baad55cc5b955b2f06b34a35bfb2d11c7fd8e053ea207",
    "seen": "1370a75f50e8e9db2915e318b059c0f7e2bf1419edb1278bb6866f6aac2914c9",
    "unseen": "cfe862baedc99418467a3891cf389254d3845b54eade87b3e727751b668954e4",
}
SPLITS = ("train", "val", "seen", "unseen")


def six(root: Path | None = None) -> BiasedScenes:
    return BiasedScenes(root, size=64, train=6, val=6, test=6, cue=96)


def digests(data: BiasedScenes) -> dict[str, str]:
    found = {}
    for split in data.splits:
        sha = hashlib.sha256()
        for sample in data.samples(split):
            for tensor in data.read(sample):
                sha.update(tensor.numpy().astype(np.uint8).tobytes())
        found[split] = sha.hexdigest()
    return found


def test_golden_pixels_wherever_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert digests(six(tmp_path / "one")) == GOLDEN
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a deeper" / "two"))
    assert digests(six()) == GOLDEN
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "three"))
    data = six()
    assert digests(data) == GOLDEN
    assert data.root.parent == tmp_path / "three" / ".cache" / "classaware" / "biased-scenes"


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Scene]]:
    """300 scenes of every split, by the keys under which they are built."""
    familiar = {"train": 950, "val": 950, "seen": 950, "unseen": 0}
    return {s: [draw_scene((0, n, i), 48, familiar[s], 96) for i in range(300)] for n, s in enumerate(SPLITS)}


@pytest.mark.parametrize("split", ["train", "val", "seen"])
def test_19_of_20_things_are_on_their_favorite_stuff(drawn: dict[str, list[Scene]], split: str) -> None:
    places = [place for scene in drawn[split] for place in scene.placements]
    hits = sum(FAVORITES[place.thing] == place.stuff for place in places)
    deviation = (len(places) * 0.95 * 0.05) ** 0.5
    assert len(places) > 400
    assert abs(hits - 0.95 * len(places)) < 4 * deviation


def test_unseen_has_neither_the_pair_nor_the_stuff(drawn: dict[str, list[Scene]]) -> None:
    for scene in drawn["unseen"]:
        present = set(np.unique(scene.label).tolist())
        for place in scene.placements:
            assert place.stuff != FAVORITES[place.thing]
            assert FAVORITES[place.thing] not in present


@pytest.mark.parametrize("split", SPLITS)
def test_classes_are_balanced_in_every_split(drawn: dict[str, list[Scene]], split: str) -> None:
    counts = Counter(place.thing for scene in drawn[split] for place in scene.placements)
    mean = sum(counts.values()) / 8
    assert sorted(counts) == list(range(4, 12))
    assert max(abs(count - mean) for count in counts.values()) < 4.5 * mean**0.5
    stuff = Counter(int(value) for scene in drawn[split] for value in np.unique(scene.label[scene.label < 4]))
    assert min(stuff.values()) > 0.7 * sum(stuff.values()) / 4


@pytest.mark.parametrize("split", SPLITS)
def test_every_thing_is_visible(drawn: dict[str, list[Scene]], split: str) -> None:
    for scene in drawn[split]:
        things = Counter(scene.label[scene.label >= 4].tolist())
        assert set(things) == {place.thing for place in scene.placements}
        assert min(things.values()) >= 20  # of 48 x 48
        assert (scene.image[scene.label >= 4].std(axis=0) > 5).all()  # and not of one color


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(key: tuple[int, ...], *rest: int) -> Scene:
        if key[1] == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return draw_scene(key, *rest)

    monkeypatch.setattr(module, "draw_scene", full)
    with pytest.raises(InputError, match=r"No space left.*data\.dataset\.root"):
        six(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert digests(six(tmp_path)) == GOLDEN


def test_the_slower_of_two_builders_takes_the_result_of_the_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster: list[BiasedScenes] = []

    def overtaken(key: tuple[int, ...], *rest: int) -> Scene:
        if not faster:  # somebody else begins and ends while the first scene is drawn, with the same process number
            monkeypatch.setattr(module, "draw_scene", draw_scene)
            faster.append(six(tmp_path))
        return draw_scene(key, *rest)

    monkeypatch.setattr(module, "draw_scene", overtaken)
    assert digests(six(tmp_path)) == digests(faster[0]) == GOLDEN
    assert [path.name for path in tmp_path.iterdir()] == [faster[0].root.name]


def test_what_a_killed_builder_left_is_in_nobodys_way(tmp_path: Path) -> None:
    name = six(tmp_path).root.name
    (tmp_path / name).rename(tmp_path / f".{name}.{os.getpid()}.part")
    assert digests(six(tmp_path)) == GOLDEN


def test_masks_are_index_pngs(tmp_path: Path) -> None:
    data = six(tmp_path)
    with Image.open(data.samples("val")[0].label) as mask, Image.open(data.samples("val")[0].image) as image:
        assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (64, 64))
        assert (image.format, image.mode) == ("PNG", "RGB")
