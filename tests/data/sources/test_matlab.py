"""The own reader of MATLAB files against those that SciPy writes."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from classaware.data.preparation.archives import Entry
from classaware.data.sources.matlab import read_map, shapes
from classaware.errors import InputError

KINDS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64", "bool"]
MAP = np.array([[2, 360, 458], [431, 0, 1]], dtype=np.uint16)


def entry(path: Path) -> Entry:
    return Entry(path.name, path, None, path.stat().st_size)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matlab") / "x.mat"


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(KINDS), st.booleans())
def test_maps_of_every_type(path: Path, data: st.DataObject, kind: str, compressed: bool) -> None:
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    low, high = (0, 1) if kind == "bool" else (-100, 100) if kind[0] in "if" else (0, 200)
    label = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(low, high)))
    other = {"names": np.array(["a", "bc"], dtype=object), "cube": np.zeros((2, 3, 4))}
    scipy.io.savemat(path, {"before": 1.5} | {"S": label.astype(kind)} | other, do_compression=compressed)
    found = read_map(entry(path), "S")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, label)
    assert shapes(entry(path)) == {name: shape for name, shape, _ in scipy.io.whosmat(path)}


@pytest.mark.parametrize("compressed", [False, True])
def test_a_field_of_a_struct(path: Path, compressed: bool) -> None:
    boundaries = np.empty((2, 1), dtype=object)
    boundaries[:] = [[scipy.sparse.csc_array(np.eye(3))], [scipy.sparse.csc_array(np.zeros((3, 3)))]]
    fields = {"Boundaries": boundaries, "Segmentation": MAP.astype(np.uint8), "CategoriesPresent": [[1, 2]]}
    scipy.io.savemat(path, {"GTcls": fields}, do_compression=compressed)
    assert read_map(entry(path), "GTcls", "Segmentation").tolist() == MAP.astype(np.uint8).tolist()
    assert read_map(entry(path), "GTcls", "CategoriesPresent").tolist() == [[1, 2]]
    for field, message in (("Boundaries", "is no label map"), ("Other", "has no field Other")):
        with pytest.raises(InputError, match=message):
            read_map(entry(path), "GTcls", field)
    scipy.io.savemat(path, {"GTcls": MAP})
    with pytest.raises(InputError, match="is no struct of 1x1"):
        read_map(entry(path), "GTcls", "Segmentation")


def test_the_other_order_of_bytes(path: Path) -> None:
    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = element(6, struct.pack(">II", 11, 0)) + element(5, struct.pack(">ii", 2, 3)) + element(1, b"S")
    numbers = element(4, np.array([2, 431, 360, 0, 458, 1], dtype=">u2").tobytes())
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + element(14, parts + numbers))
    assert read_map(entry(path), "S").tolist() == MAP.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a MATLAB file"),
        (b"\x89HDF\r\n\x1a\n", "is a MATLAB 7.3 file"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384), "is a MATLAB 7.3 file"),
        (b"\xff\xd8\xff\xe0" * 99, "does not begin like one"),
    ],
)
def test_other_files(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    for read in (shapes, lambda one: read_map(one, "S")):
        with pytest.raises(InputError, match=message) as caught:
            read(entry(path))
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("value", [MAP, {"Segmentation": MAP}])
def test_cut_and_changed_files_are_one_clear_error(path: Path, compressed: bool, value: Any) -> None:
    scipy.io.savemat(path, {"S": value}, do_compression=compressed)
    whole, field = path.read_bytes(), "Segmentation" if isinstance(value, dict) else None
    assert read_map(entry(path), "S", field).tolist() == MAP.tolist()
    random = np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 5)]
    for _ in range(300):
        changed = bytearray(whole)
        changed[random.integers(124, len(whole))] ^= 1 << random.integers(8)
        damaged.append(bytes(changed))
    errors: list[str] = []
    for data in damaged:
        path.write_bytes(data)
        try:
            assert read_map(entry(path), "S", field).ndim == 2
        except InputError as error:
            errors.append(str(error))
    assert len(errors) > len(whole) // 5
    assert all(str(path) in error for error in errors)


def test_a_huge_map_is_refused_before_it_is_made(path: Path) -> None:
    scipy.io.savemat(path, {"S": MAP})
    whole = path.read_bytes()
    assert whole.count(struct.pack("<ii", *MAP.shape)) == 1
    path.write_bytes(whole.replace(struct.pack("<ii", *MAP.shape), struct.pack("<ii", 20_000, 10_000)))
    with pytest.raises(InputError, match=r"of shape \(20000, 10000\) .* is no label map"):
        read_map(entry(path), "S")


def test_a_bomb_is_not_blown_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(path, {"S": np.zeros((300, 300), dtype=np.uint8)}, do_compression=True)
    assert read_map(entry(path), "S").shape == (300, 300)
    monkeypatch.setattr("classaware.data.sources.matlab._LARGEST", 80_000)
    with pytest.raises(InputError, match="more than 80000 bytes"):
        read_map(entry(path), "S")
