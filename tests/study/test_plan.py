"""The file of a study: what it says, and what is refused with which words."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.study.plan import Cell, DataChoice, Study
from classaware.study.reading import read_study

PARTS: dict[str, Any] = {
    "datasets": {"animals": ["datasets/msrc21", "--data.batch_size=4"], "scenes": {"splits": ["seen", "unseen"]}},
    "networks": {"attention": ["lite0"], "ocr": []},
    "variants": {"baseline": [], "released": ["car"]},
    "seeds": [0, 1],
}

Read = Callable[..., Study]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The study of `PARTS`, with others in place of some of them; those that are None are left out."""

    def call(**parts: Any) -> Study:
        content = {name: part for name, part in (PARTS | parts).items() if part is not None}
        (tmp_path / "zoo.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return read_study(tmp_path / "zoo.yaml")

    return call


def text_of(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_everything(tmp_path: Path) -> None:
    text = """
        name: animals
        fit: ["--trainer.max_steps=400"]
        datasets:
          msrc21: [datasets/msrc21, "--data.crop_size=[193,193]"]
          voc21: {fit: [datasets/voc2012], splits: [val, test, val], train_split: null}
        networks: {sa: [lite0-self-attention]}
        variants: {plain: [], released: [car]}
        baseline: released
        seeds: [3, 1, 3]
    """
    study = read_study(text_of(tmp_path / "x.yaml", text))
    assert (study.name, study.baseline, study.folder) == ("animals", "released", tmp_path)
    assert study.datasets["msrc21"] == DataChoice(("datasets/msrc21", "--data.crop_size=[193,193]"))
    assert study.datasets["voc21"] == DataChoice(("datasets/voc2012",), ("val", "test"), None)
    assert study.datasets["msrc21"].splits == ("test",)
    assert study.datasets["msrc21"].train_split == "train"
    assert [str(cell) for cell in study.cells[:3]] == [
        "msrc21/sa/plain/seed-1",
        "msrc21/sa/released/seed-1",
        "voc21/sa/plain/seed-1",
    ]
    assert len(study.cells) == 8


def test_what_may_be_left_out(read: Read) -> None:
    study = read(networks=None, seeds=None)
    assert (study.name, study.baseline, study.fit) == ("zoo", "baseline", ())
    assert study.networks == {"default": ()}
    assert {cell.seed for cell in study.cells} == {0, 1, 2}
    assert study.groups() == [("animals", "default"), ("scenes", "default")]


def test_arguments_of_a_cell_in_their_order(read: Read) -> None:
    study = read(fit=["--save_every=5", "base"], variants={"baseline": [], "released": ["car", "--training.lr=1"]})
    assert study.arguments(Cell("animals", "attention", "released", 1)) == [
        *("--config", "datasets/msrc21", "--data.batch_size=4"),
        *("--config", "lite0"),
        *("--save_every=5", "--config", "base"),
        *("--config", "car", "--training.lr=1"),
        "--seed=1",
    ]


def test_files_beside_the_study_come_first_and_are_not_kept_as_places(read: Read, tmp_path: Path) -> None:
    (tmp_path / "lite0").write_text("{}")
    study, cell = read(), Cell("animals", "attention", "released", 0)
    assert study.resolved_arguments(cell) == [
        str(tmp_path / "lite0") if part == "lite0" else part for part in study.arguments(cell)
    ]
    assert str(tmp_path) not in " ".join(study.arguments(cell))


def test_cells_are_everything_with_everything_seed_by_seed(read: Read) -> None:
    study = read()
    axes = (PARTS["datasets"], PARTS["networks"], PARTS["variants"])
    assert study.cells == tuple(Cell(*row, seed) for seed in (0, 1) for row in product(*axes))


def test_a_grid_names_what_is_wanted(read: Read) -> None:
    grid = [
        {"datasets": ["scenes"], "networks": ["ocr"], "seeds": [7]},
        {"datasets": ["scenes"], "variants": ["released"], "networks": ["ocr", "attention"], "seeds": [0]},
        {"datasets": ["scenes"], "variants": ["released"], "networks": ["ocr"], "seeds": [0]},
    ]
    assert [str(cell) for cell in read(grid=grid).cells] == [
        "scenes/attention/released/seed-0",
        "scenes/ocr/released/seed-0",
        "scenes/ocr/baseline/seed-7",
        "scenes/ocr/released/seed-7",
    ]


NAMES = {axis: list(PARTS[axis]) for axis in ("datasets", "networks", "variants")}
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        **{axis: st.lists(st.sampled_from(names), min_size=1) for axis, names in NAMES.items()},
        "seeds": st.lists(st.integers(0, 3), min_size=1),
    },
)


@given(grid=st.lists(ENTRY, min_size=1, max_size=4))
def test_a_grid_is_the_union_of_its_entries(
    grid: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "grid.yaml"
    study = read_study(text_of(path, yaml.safe_dump(PARTS | {"grid": grid}, sort_keys=False)))
    axes = NAMES | {"seeds": PARTS["seeds"]}
    wanted = {row for entry in grid for row in product(*(entry.get(axis, axes[axis]) for axis in axes))}
    assert len(study.cells) == len(set(study.cells))
    assert {tuple(cell) for cell in study.cells} == wanted
    seeds = [cell.seed for cell in study.cells]
    assert seeds == sorted(seeds)
    for seed in seeds:  # within a seed in the file's order
        rows = [tuple(cell[:3]) for cell in study.cells if cell.seed == seed]
        assert rows == [row for row in product(*NAMES.values()) if row in rows]


def test_some_of_the_cells(read: Read) -> None:
    study = read()
    some = study.only("scenes/*/rel*/seed-1")
    assert [str(cell) for cell in some.cells] == ["scenes/attention/released/seed-1", "scenes/ocr/released/seed-1"]
    assert some.datasets == study.datasets
    assert study.only("*") == study
    with pytest.raises(InputError, match="no cell of zoo fits 'nowhere'; the first is called animals/attention/base"):
        study.only("nowhere")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"dataset": {}}, "a study has no 'dataset'; its keys are datasets, "),
        ({1: {}, "extra": 2}, "a study has no '1'"),
        ({"datasets": None}, "datasets must be there, each with its name"),
        ({"datasets": ["animals"]}, "datasets must be there"),
        ({"variants": {}}, "variants must be there"),
        ({"variants": {"a b": []}}, "variants: the name 'a b' must be of letters, digits"),
        ({"variants": {"../up": []}}, "variants: the name '../up' must be"),
        ({"variants": {".hidden": []}}, "variants: the name '.hidden' must be"),
        ({"variants": {"x" * 65: []}}, "at most 64"),
        ({"variants": {True: []}}, "variants: the name True must be .* in quotes"),
        ({"networks": {"Big": [], "big": []}}, "networks has two names that differ in upper and lower case alone"),
        ({"baseline": "none"}, r"baseline 'none' is none of its variants \(baseline, released\)"),
        ({"baseline": ["released"]}, r"baseline \['released'\] is none of its variants"),
        ({"name": "my study"}, "name 'my study' must be of letters"),
        ({"fit": "car"}, "'car' must be a list of recipes, files and options"),
        ({"fit": [400]}, r"\[400\] must be a list of recipes, files and options of 'classaware fit', all as text"),
        ({"fit": [""]}, "must be a list of recipes"),
        ({"fit": ["--trainer.max_steps", "400"]}, "the option '--trainer.max_steps' must have its value with it"),
        ({"fit": ["-x"]}, "the option '-x' must have its value with it"),
        ({"fit": ["--seed=3"]}, "'--seed=3' is not for a study's file, which has seeds and a folder of its own"),
        ({"variants": {"a": ["--output=x"]}}, "'--output=x' is not for a study's file"),
        ({"datasets": {"a": {"split": ["val"]}}}, "a data set has no 'split', only fit, splits and train_split"),
        ({"datasets": {"a": {"splits": "val"}}}, "splits 'val' must be a list of names"),
        ({"datasets": {"a": {"splits": []}}}, r"splits \[\] must be a list of names"),
        ({"datasets": {"a": {"splits": ["../val"]}}}, "split '../val' must be of letters"),
        ({"datasets": {"a": {"splits": ["cell"]}}}, "a split cannot be called 'cell'"),
        ({"datasets": {"a": {"train_split": 3}}}, "train_split 3 must be a name or null"),
        ({"seeds": 3}, "seeds 3 must be a list of whole numbers from 0"),
        ({"seeds": []}, r"seeds \[\] must be a list"),
        ({"seeds": [-1]}, r"seeds \[-1\] must be"),
        ({"seeds": [True]}, r"seeds \[True\] must be"),
        ({"seeds": [2**32]}, "to 4294967295"),
        ({"grid": {}}, "grid is a list of entries, each with some of datasets, networks, variants, seeds"),
        ({"grid": []}, "grid is a list of entries"),
        (
            {"grid": [{"data": ["scenes"]}]},
            "grid: .* some of datasets, networks, variants, seeds and nothing else",
        ),
        ({"grid": ["scenes"]}, "grid: 'scenes' must have some of"),
        ({"grid": [{"datasets": ["sky"]}]}, r"grid: datasets \['sky'\] must be a list of some of animals, scenes"),
        ({"grid": [{"datasets": "scenes"}]}, "grid: datasets 'scenes' must be a list of some of"),
        ({"grid": [{"datasets": [["scenes"]]}]}, "grid: datasets .* must be a list of some of"),
        ({"grid": [{"variants": []}]}, r"grid: variants \[\] must be a list of some of baseline, released"),
        ({"grid": [{"seeds": ["0"]}]}, r"grid: seeds \['0'\] must be a list"),
    ],
)
def test_what_is_no_study_is_refused_by_name(read: Read, parts: dict[Any, Any], message: str, tmp_path: Path) -> None:
    content = {name: part for name, part in (PARTS | parts).items() if part is not None}
    path = text_of(tmp_path / "zoo.yaml", yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(InputError, match=message) as caught:
        read_study(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"datasets: [", "zoo.yaml is no YAML .*: correct it"),
        (b"\xff\xfe\xff", "zoo.yaml is no YAML"),
        (b"- a\n- b\n", "zoo.yaml is no study: it has no datasets, networks, variants"),
        (b"", "zoo.yaml is no study"),
        (b"variants: {car: [], baseline: [], car: [car]}", "zoo.yaml is no YAML .'car' is there twice"),
    ],
)
def test_a_file_that_cannot_be_understood(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "zoo.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_study(tmp_path / "zoo.yaml")


def test_parts_that_are_shared_by_yaml_are_not_there_twice(tmp_path: Path) -> None:
    text = """
        datasets:
          seen: &scenes {fit: [biased-scenes], splits: [seen]}
          unseen: {<<: *scenes, splits: [unseen]}
        variants: {plain: []}
    """
    study = read_study(text_of(tmp_path / "zoo.yaml", text))
    assert study.datasets["unseen"] == DataChoice(("biased-scenes",), ("unseen",))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match=r"cannot read the study .* check the path"):
            read_study(path)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.text("ab-=. /", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2) | st.integers(), inner),
    max_leaves=5,
)


@given(parts=st.dictionaries(st.sampled_from([*PARTS, "fit", "grid", "baseline", "name", 1]), VALUE, min_size=1))
def test_whatever_the_file_holds_is_a_study_or_refused(
    parts: dict[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = text_of(tmp_path_factory.getbasetemp() / "any.yaml", yaml.safe_dump(PARTS | parts, sort_keys=False))
    try:
        study = read_study(path)
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
    else:
        assert study.cells
        assert all(cell.variant in study.variants for cell in study.cells)
        assert all(not Path(cell.folder).is_absolute() and ".." not in cell.folder.parts for cell in study.cells)


@pytest.mark.parametrize("path", ["evidence.yaml"])
def test_this_project_s_own_study_can_be_read(path: str) -> None:
    file = Path(__file__).parents[2] / "studies" / path
    study = read_study(file)
    assert study.baseline == "baseline"
    for dataset, network in study.groups():
        assert any(cell[:3] == (dataset, network, study.baseline) for cell in study.cells)
