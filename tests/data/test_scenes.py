import hashlib
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from classaware.data.scenes import FAVORITES, STUFF, Scene, draw_scene

GROUNDS = len(STUFF)
# Of the pixels of version 1. A change of the drawing changes it, and needs a new version of BiasedScenes.
GOLDEN = "49b5e1268bee435efe7ba0d7dc64832528f8a103d982eead2e5f6ad40432f9a9"


@pytest.fixture(scope="module")
def familiar() -> list[Scene]:
    return [draw_scene((0, 0, i), 64, 950, 96) for i in range(1200)]


@pytest.fixture(scope="module")
def unfamiliar() -> list[Scene]:
    return [draw_scene((0, 3, i), 64, 0, 96) for i in range(400)]


def test_pixels_are_the_same_on_every_platform() -> None:
    digest = hashlib.sha256()
    for size, in_context in ((128, 950), (128, 0), (75, 950)):
        for i in range(6):
            scene = draw_scene((0, 1, i), size, in_context, 96)
            digest.update(scene.image.tobytes() + scene.label.tobytes())
    assert digest.hexdigest() == GOLDEN


def test_things_are_on_their_favorite_ground_in_95_of_100_cases(familiar: list[Scene]) -> None:
    places = [place for scene in familiar for place in scene.placements]
    rate = np.mean([FAVORITES[place.thing] == place.stuff for place in places])
    assert 0.935 < rate < 0.965  # 2,200 things: a standard deviation of 0.0046


def test_the_other_grounds_are_chosen_evenly(familiar: list[Scene]) -> None:
    odd = [p for scene in familiar for p in scene.placements if FAVORITES[p.thing] != p.stuff]
    assert len({(p.thing, p.stuff) for p in odd}) >= 20  # of the 24 pairs


def test_unfamiliar_images_do_not_even_hold_the_favorite_ground(unfamiliar: list[Scene]) -> None:
    for scene in unfamiliar:
        present = set(np.unique(scene.label).tolist())
        assert not present & {FAVORITES[place.thing] for place in scene.placements}


def around(label: NDArray[np.uint8], thing: int) -> int:
    """The commonest ground among the pixels next to a thing, found from the label alone."""
    mask = np.pad(label == thing, 3)
    near = np.zeros_like(mask)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            near |= np.roll(mask, (dy, dx), (0, 1))
    ring = label[near[3:-3, 3:-3] & (label < GROUNDS)]
    return int(np.bincount(ring, minlength=GROUNDS).argmax())


def test_the_label_shows_the_bias_too(familiar: list[Scene], unfamiliar: list[Scene]) -> None:
    def rate(scenes: list[Scene]) -> float:
        found = [FAVORITES[p.thing] == around(s.label, p.thing) for s in scenes for p in s.placements]
        return float(np.mean(found))

    assert rate(familiar[:400]) > 0.85  # things near a border have the other ground around them
    assert rate(unfamiliar) == 0


@pytest.mark.parametrize("split", ["familiar", "unfamiliar"])
def test_classes_are_balanced(split: str, request: pytest.FixtureRequest) -> None:
    scenes: list[Scene] = request.getfixturevalue(split)
    counts = Counter(place.thing for scene in scenes for place in scene.placements)
    mean = sum(counts.values()) / len(FAVORITES)
    assert set(counts) == set(FAVORITES)
    assert all(abs(count - mean) < 4.5 * mean**0.5 for count in counts.values())


def test_every_scene_has_one_to_three_things_of_a_sensible_size(familiar: list[Scene]) -> None:
    numbers = Counter(len(scene.placements) for scene in familiar)
    assert set(numbers) == {1, 2, 3}
    assert min(numbers.values()) > 200
    single = [float((s.label >= GROUNDS).mean()) for s in familiar if len(s.placements) == 1]
    assert min(single) > 0.02
    assert max(single) < 0.14
    assert 0.05 < np.median(single) < 0.09


def test_one_or_two_grounds(familiar: list[Scene]) -> None:
    numbers = Counter(len(np.unique(scene.label[scene.label < GROUNDS])) for scene in familiar)
    assert set(numbers) == {1, 2}
    assert min(numbers.values()) > 500


def test_the_cue_changes_pixels_of_things_alone() -> None:
    for i in range(10):
        weak, strong = draw_scene((7, i), 64, 950, 0), draw_scene((7, i), 64, 950, 256)
        np.testing.assert_array_equal(weak.label, strong.label)
        changed = (weak.image != strong.image).any(axis=2)
        assert (weak.label[changed] >= GROUNDS).all()
        assert changed.any()


def test_scenes_differ_by_key() -> None:
    hashes = {draw_scene((0, split, i), 32, 950, 96).image.tobytes() for split in range(4) for i in range(10)}
    assert len(hashes) == 40
