"""What stands together in images, and the groups that follow, against plain loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import guesses, pairs_by_loops, record_of, striped_maps, write_dataset

from classaware.data.pairs import PairCounts, Together, count_pairs
from classaware.errors import InputError
from classaware.evaluation.combinations import Combinations, aligned_combinations, read_combinations
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.familiarity_groups import score_bins, units

K = 4


@pytest.mark.parametrize("together", ["touching", "image"])
def test_reading_is_as_in_plain_loops(tmp_path: Path, together: Together) -> None:
    labels = striped_maps(0, 14, K)
    found = read_combinations(write_dataset(tmp_path, {"test": labels}, K), "test", 1, together, workers=0)
    assert found.names[:3] == ("image0", "image1", "image10")
    seen = [tuple(row) for row in found.pairs_m3.tolist()]
    assert seen == sorted(set(seen))
    for place, name in enumerate(found.names):
        label = labels[int(name.removeprefix("image"))]
        present, pairs = pairs_by_loops(label, together == "touching")
        assert set(np.flatnonzero(found.present_nK[place])) == present
        assert {(a, b) for image, a, b in seen if image == place} == {(a, b) for a, b in pairs if a < b}
        assert found.pixels_nK[place].tolist() == [int((label == k).sum()) for k in range(K)]
    counted = count_pairs(write_dataset(tmp_path / "again", {"test": labels}, K), "test", 1, 0, together=together)
    table = np.diag(found.present_nK.sum(axis=0))
    for _, a, b in seen:
        table[a, b] += 1
        table[b, a] += 1
    np.testing.assert_array_equal(table, counted.counts_KK)


def test_few_pixels_are_no_class(tmp_path: Path) -> None:
    labels = np.zeros((1, 4, 24), dtype=np.int64)
    labels[0, 0, :3] = 1
    labels[0, 3, :4] = 2
    found = read_combinations(write_dataset(tmp_path, {"test": labels}, 3), "test", 4, "touching", workers=0)
    assert found.present_nK.tolist() == [[True, False, True]]
    assert found.pairs_m3.tolist() == [[0, 0, 2]]
    assert found.pixels_nK.tolist() == [[89, 3, 4]]


def test_two_processes_read_the_same(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, {"test": striped_maps(1, 40, K)}, K)
    one, two = (read_combinations(data, "test", workers=workers) for workers in (0, 2))
    assert one.names == two.names
    np.testing.assert_array_equal(one.pairs_m3, two.pairs_m3)
    np.testing.assert_array_equal(one.pixels_nK, two.pixels_nK)


def test_alignment_follows_the_record(tmp_path: Path) -> None:
    labels = striped_maps(0, 14, K)
    record = record_of(labels, guesses(labels, 0, K), K)
    found = read_combinations(write_dataset(tmp_path, {"test": labels}, K), "test", workers=0)
    aligned = aligned_combinations(found, record)
    assert aligned.names == record.names != found.names
    np.testing.assert_array_equal(aligned.pixels_nK, record.counts[..., 0] + record.counts[..., 2])

    def named(of: Combinations) -> set[tuple[str, int, int]]:
        return {(of.names[i], a, b) for i, a, b in of.pairs_m3.tolist()}

    assert named(aligned) == named(found)
    assert aligned.pairs_m3.tolist() == sorted(aligned.pairs_m3.tolist())


def test_other_data_is_refused(tmp_path: Path) -> None:
    labels = striped_maps(0, 14, K)
    record = record_of(labels, guesses(labels, 0, K), K)
    found = read_combinations(write_dataset(tmp_path, {"test": labels}, K), "test", workers=0)
    with pytest.raises(InputError, match=r"classes are.*--dataset"):
        aligned_combinations(replace(found, class_names=("a", "b", "c", "d")), record)
    names = tuple("other" if name == "image3" else name for name in found.names)
    with pytest.raises(InputError, match="2 images are in one of them only, such as 'image3'"):
        aligned_combinations(replace(found, names=names), record)
    pixels = found.pixels_nK.copy()
    pixels[2, 0] += 1
    with pytest.raises(InputError, match="1 images have other labels, such as 'image10'"):
        aligned_combinations(replace(found, pixels_nK=pixels), record)
    pairs = count_pairs(write_dataset(tmp_path / "b", {"train": labels}, K), "train", workers=0, together="image")
    with pytest.raises(InputError, match=r"together means 'image'.*'touching'.*alike"):
        units(found, Familiarity(pairs))
    with pytest.raises(InputError, match="from one data set"):
        units(found, Familiarity(PairCounts(("a",), 1, np.array([[1]]), together="touching")))


@given(seed=st.integers(0, 10**6), images=st.integers(1, 6), size=st.integers(2, 5), share=st.floats(0.1, 1))
def test_the_worst_pair_decides(seed: int, images: int, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    present = rng.random((images, size)) < 0.7
    rows = [
        (i, a, b)
        for i in range(images)
        for a in range(size)
        for b in range(a + 1, size)
        if present[i, a] and present[i, b] and rng.random() < share
    ]
    names = tuple(map(str, range(size)))
    pairs = np.array(rows, dtype=np.int64).reshape(-1, 3)
    found = Combinations(tuple(map(str, range(images))), names, "test", present * 1, present, pairs, 1, "image")
    trained = (rng.random((20, size)) < 0.3).astype(np.int64)
    familiarity = Familiarity(PairCounts(names, 20, trained.T @ trained), 0.8)
    by = units(found, familiarity)
    order = ("familiar", "rare", "never", "alone")
    for i in range(images):
        for a in range(size):
            partners = [b for b in range(size) if (i, min(a, b), max(a, b)) in rows]
            if not present[i, a]:
                assert by.region_groups_nK[i, a] == -1
                assert np.isnan(by.region_scores_nK[i, a])
                continue
            worst = max((order.index(familiarity.category(a, b)) for b in partners), default=3)
            assert by.region_groups_nK[i, a] == worst
            lowest = min((familiarity.score_KK[a, b] for b in partners), default=np.nan)
            np.testing.assert_equal(by.region_scores_nK[i, a], lowest)
        mine = [(a, b) for image, a, b in rows if image == i]
        worst = max((order.index(familiarity.category(a, b)) for a, b in mine), default=3 if present[i].any() else -1)
        assert by.image_groups_n[i] == worst
        np.testing.assert_equal(
            by.image_scores_n[i], min((familiarity.score_KK[a, b] for a, b in mine), default=np.nan)
        )


def test_bins_are_of_equal_size() -> None:
    values = np.random.default_rng(0).permutation(160).astype(np.float64).reshape(10, 16)
    bins = score_bins(values)
    np.testing.assert_array_equal(bins, values.astype(int) // 20)
    assert score_bins(values.ravel()[:35]).max() == 2  # never fewer than about ten in one
    assert score_bins(np.array([3.0, 1.0])).tolist() == [0, 0]
    assert score_bins(np.full(50, 2.0)).tolist() == [0] * 50
    assert score_bins(np.full(3, np.nan)).tolist() == [-1] * 3


@given(values=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 3.0, np.nan]), max_size=60), least=st.integers(1, 12))
def test_bins_keep_order_and_equals_together(values: list[float], least: int) -> None:
    bins = score_bins(np.array(values), 8, least).tolist()
    for value, place in zip(values, bins, strict=True):
        assert (place == -1) == np.isnan(value)
        for other, place_of_other in zip(values, bins, strict=True):
            if value == other:
                assert place == place_of_other
            if value < other:
                assert place <= place_of_other
    used = {place for place in bins if place >= 0}
    assert used == set(range(len(used)))
    assert len(used) <= min(8, max(1, (len(values)) // least))
