import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import classaware.data.biased_scenes as module
from classaware.data import BiasedScenes
from classaware.data.scenes import Scene, draw_scene
from classaware.errors import InputError


def small(root: Path) -> BiasedScenes:
    return BiasedScenes(root, seed=3, size=32, train=5, val=2, test=3, cue=96)


def digest(root: Path) -> str:
    data = small(root)
    files = [file for split in data.splits for sample in data.samples(split) for file in (sample.image, sample.label)]
    return hashlib.sha256(b"".join(np.array(Image.open(file)).tobytes() for file in files)).hexdigest()


def test_files_hold_the_drawn_scenes(tmp_path: Path) -> None:
    data = small(tmp_path)
    assert {split: len(data.samples(split)) for split in data.splits} == {"train": 5, "val": 2, "seen": 3, "unseen": 3}
    for number, split in enumerate(data.splits):
        for i, sample in enumerate(data.samples(split)):
            scene = draw_scene((3, number, i), 32, 0 if split == "unseen" else 950, 96)
            image, label = data.read(sample)
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), scene.image)
            np.testing.assert_array_equal(label.numpy(), scene.label)


def test_class_roles(tmp_path: Path) -> None:
    data = small(tmp_path)
    assert sorted(data.stuff + data.things) == list(range(data.num_classes))
    assert set(data.favorites) == set(data.things)
    assert sorted(data.favorites.values()) == sorted(list(data.stuff) * 2)
    assert len(data.palette) == len(set(data.palette)) == data.num_classes


def test_it_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(tmp_path)
    monkeypatch.setattr(module, "draw_scene", None)
    assert digest(tmp_path) == before


def test_every_parameter_has_its_own_folder(tmp_path: Path) -> None:
    standard = {"seed": 3, "size": 32, "train": 1, "val": 1, "test": 1, "cue": 96}
    changes = [{}, {"seed": 4}, {"size": 33}, {"train": 2}, {"val": 2}, {"test": 2}, {"cue": 95}]
    roots = {BiasedScenes(tmp_path, **(standard | change)).root for change in changes}
    assert len(roots) == len(changes)


def test_the_cache_of_the_user_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = BiasedScenes(size=32, train=1, val=1, test=1)
    assert data.root.parent == tmp_path / "classaware" / "biased-scenes"
    assert data.root.is_dir()


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(key: tuple[int, ...], *rest: int) -> Scene:
        if key[1] == 2:
            raise KeyboardInterrupt
        return draw_scene(key, *rest)

    monkeypatch.setattr(module, "draw_scene", fail)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_build_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, which has another number, starts and finishes while this one is drawing."""
    others: list[BiasedScenes] = []

    def interrupted(*arguments: Any) -> Scene:
        monkeypatch.setattr(module, "draw_scene", draw_scene)
        with monkeypatch.context() as other:
            other.setattr("os.getpid", lambda: -1)
            others.append(small(tmp_path))
        return draw_scene(*arguments)

    monkeypatch.setattr(module, "draw_scene", interrupted)
    data = small(tmp_path)
    assert [other.root for other in others] == [data.root]
    assert list(tmp_path.iterdir()) == [data.root]
    assert len(data.samples("unseen")) == 3


def test_the_favorites_lie_beside_the_images(tmp_path: Path) -> None:
    data = small(tmp_path)
    (file,) = data.root.glob("*.json")
    expected = {data.class_names[thing]: data.class_names[ground] for thing, ground in data.favorites.items()}
    assert json.loads(file.read_text()) == expected


@pytest.mark.parametrize("bad", [{"size": 31}, {"cue": 257}, {"cue": -1}, {"train": 0}, {"test": 0}])
def test_bad_parameters_are_named(tmp_path: Path, bad: dict[str, int]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(InputError, match=f"{name}={value}"):
        BiasedScenes(tmp_path, **bad)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*root"):
        small(tmp_path / "file")
