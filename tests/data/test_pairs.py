"""Co-occurrence of classes against plain loops."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_world import chance_contacts

from classaware.data import CamVid, FolderDataset
from classaware.data.pairs import PairCounts, classes_and_pairs, count_pairs, default_reach
from classaware.errors import InputError

K = 3


def make(root: Path, masks: list[list[int]]) -> FolderDataset:
    for folder in ("images", "masks"):
        (root / folder / "train").mkdir(parents=True, exist_ok=True)
        for old in (root / folder / "train").iterdir():
            old.unlink()
    for i, mask in enumerate(masks):
        (root / f"images/train/{i}.png").touch()  # never read
        Image.fromarray(np.array(mask, dtype=np.uint8).reshape(2, 3)).save(root / f"masks/train/{i}.png")
    (root / "classes.txt").write_text("sky\ntree\nroad\n")
    return FolderDataset(root)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    masks=st.lists(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=6, max_size=6), min_size=1, max_size=5),
    min_pixels=st.integers(1, 3),
)
def test_counts_and_shares_are_those_of_plain_loops(tmp_path: Path, masks: list[list[int]], min_pixels: int) -> None:
    pairs = count_pairs(make(tmp_path, masks), "train", min_pixels, workers=0)
    holds = [[mask.count(k) >= min_pixels for k in range(K)] for mask in masks]
    for row in range(K):
        for column in range(K):
            both = sum(held[row] and held[column] for held in holds)
            rows, columns = sum(held[row] for held in holds), sum(held[column] for held in holds)
            assert pairs.counts_KK[row, column] == both
            share = both / rows if rows else np.nan
            lift = (both / len(masks)) / (rows / len(masks) * columns / len(masks)) if rows and columns else np.nan
            assert pairs.conditional()[row, column] == pytest.approx(share, nan_ok=True)
            assert pairs.lift()[row, column] == pytest.approx(lift, nan_ok=True)
    assert pairs.counts_KK.dtype == np.int64
    assert pairs.images == len(masks)
    listed = {(pair.first, pair.second): pair.images for pair in pairs.pairs()}
    present = [k for k in range(K) if any(held[k] for held in holds)]
    assert listed == {(a, b): int(pairs.counts_KK[a, b]) for a in present for b in present if a < b}


def test_lift_by_hand() -> None:
    pairs = PairCounts(("a", "b", "c"), 10, np.array([[4, 2, 0], [2, 5, 0], [0, 0, 0]]))
    (pair,) = pairs.pairs()
    assert (pair.first, pair.second, pair.images) == (0, 1, 2)
    assert (pair.expected, pair.lift) == (2.0, 1.0)
    content = json.loads(json.dumps(pairs.to_dict(), allow_nan=False))
    assert content["conditional"] == [[1.0, 0.5, 0.0], [0.4, 1.0, 0.0], [None, None, None]]
    assert content["lift"][2] == [None, None, None]
    assert content["class_names"] == ["a", "b", "c"]


def test_two_processes_count_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = make(tmp_path, rng.integers(0, K, (70, 6)).tolist())
    alone, two = (count_pairs(data, "train", workers=workers) for workers in (0, 2))
    np.testing.assert_array_equal(alone.counts_KK, two.counts_KK)
    assert alone.counts_KK[0, 1] > 20


def test_a_value_that_is_no_class(tmp_path: Path) -> None:
    data = make(tmp_path, [[0, 1, 2, 0, 1, 9]])
    with pytest.raises(InputError, match=r"train.0\.png holds the value 9.*data check"):
        count_pairs(data, "train", workers=0)


@pytest.mark.parametrize(("split", "min_pixels", "message"), [("val", 1, "'val'.*train"), ("train", 0, "min_pixels=0")])
def test_arguments(tmp_path: Path, split: str, min_pixels: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        count_pairs(make(tmp_path, [[0] * 6]), split, min_pixels, workers=0)


def test_camvid(data_root: Path) -> None:
    if not (data_root / "camvid").is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{data_root / 'camvid'} is absent")
    pairs = count_pairs(CamVid(data_root / "camvid"), "val")
    assert pairs.images == 101
    assert (pairs.counts_KK == pairs.counts_KK.T).all()
    assert np.diag(pairs.counts_KK).tolist()[:4] == [101] * 4  # sky, building, pole, road


def touching_by_loops(label: np.ndarray, reach: int, min_pixels: int) -> np.ndarray:
    together = np.zeros((K, K), dtype=bool)
    kept = [k for k in range(K) if (label == k).sum() >= min_pixels]
    for y, x in np.ndindex(label.shape):
        for v, u in np.ndindex(label.shape):
            a, b = label[y, x], label[v, u]
            if a in kept and b in kept and a != b and abs(y - v) <= reach and abs(x - u) <= reach:
                together[a, b] = True
    return together


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    reach=st.integers(0, 4),
    min_pixels=st.integers(1, 5),
)
def test_touching_is_that_of_plain_loops(seed: int, height: int, width: int, reach: int, min_pixels: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, 255], size=(height, width), p=[0.1, 0.1, 0.2, 0.6])
    present, together = classes_and_pairs(label, 255, K, min_pixels, "touching", reach)
    assert present.tolist() == [(label == k).sum() >= min_pixels for k in range(K)]
    assert (together == touching_by_loops(label, reach, min_pixels)).all()


def test_reach_grows_with_the_image_and_bridges_unlabeled_borders() -> None:
    assert [default_reach(size) for size in ((10, 10), (128, 128), (375, 500))] == [2, 4, 12]
    label = np.full((375, 500), 255)
    label[:, :200], label[:, 208:] = 0, 1  # an unlabeled border of 8 pixels between them
    assert classes_and_pairs(label, 255, K, together="touching")[1][0, 1]
    assert not classes_and_pairs(label, 255, K, together="touching", reach=8)[1].any()
    assert classes_and_pairs(label, 255, K, together="touching", reach=9)[1][1, 0]


def test_touching_pairs_are_expected_by_their_contacts() -> None:
    counts = np.array([[9, 6, 2, 3], [6, 8, 0, 5], [2, 0, 2, 4], [3, 5, 4, 7]])
    pairs = PairCounts(("a", "b", "c", "d"), 10, counts, together="touching")
    others = ~np.eye(4, dtype=bool)
    assert pairs.expected()[others] == pytest.approx(chance_contacts(counts)[others], rel=1e-6)
    assert pairs.lift()[1, 2] == 0.0
    assert pairs.to_dict()["together"] == "touching"


@pytest.mark.parametrize("classes", [2, 3, 5, 12, 171])
def test_where_all_classes_touch_alike_every_pair_is_as_by_chance(classes: int) -> None:
    counts = np.full((classes, classes), 6)
    pairs = PairCounts(tuple(map(str, range(classes))), 10, counts, together="touching")
    assert pairs.lift()[~np.eye(classes, dtype=bool)] == pytest.approx(1.0, rel=1e-6)


def test_counts_of_touching_classes(tmp_path: Path) -> None:
    data = make(tmp_path, [[0, 0, 0, 1, 1, 1], [0, 255, 255, 255, 255, 1]])
    pairs = count_pairs(data, "train", workers=0, together="touching")
    assert pairs.counts_KK.tolist() == [[2, 2, 0], [2, 2, 0], [0, 0, 0]]  # reach 2, at least
    with pytest.raises(InputError, match="together='near'"):
        count_pairs(data, "train", workers=0, together="near")  # type: ignore[arg-type]
