import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from tiny_explorer import CLASSES, EVIL_FILE, EVIL_NETWORK, SIZES, Content, make_explorer, make_subjects

from classaware.data import FolderDataset
from classaware.errors import InputError
from classaware.insight.explorer import Explorer, build_explorer, choose_samples, named_samples
from classaware.insight.explorer.page import script_json
from classaware.insight.explorer.selection import spread_indices
from classaware.insight.relation import relation_map
from classaware.insight.subject import Subject


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return make_subjects()


@pytest.fixture(scope="module")
def explorer(dataset: FolderDataset, subjects: list[Subject]) -> Explorer:
    return make_explorer(dataset, subjects)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_names_are_data_and_nothing_else(explorer: Explorer) -> None:
    content = Content(explorer.page).data
    assert [entry["name"] for entry in content["classes"]] == list(CLASSES)
    assert content["networks"][1]["name"] == EVIL_NETWORK
    assert [entry["name"] for entry in content["images"]] == sorted(SIZES)
    text = explorer.page.decode()
    assert "onerror=alert" in text  # as data
    assert "<img" not in text
    tags = Tags(text).tags
    assert [tag for tag, _ in tags].count("script") == len(re.findall('id="blob-', text)) + 2
    assert [tag for tag, attributes in tags if "src" in attributes or "href" in attributes] == []


def test_json_cannot_leave_its_element() -> None:
    hostile = {"</script>": ["<!--", "]]>", "&lt;", "\u2028", "\udcff"]}
    text = script_json(hostile)
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == hostile


def test_the_policy_allows_this_style_and_this_script_alone(explorer: Explorer) -> None:
    text = explorer.page.decode()
    policy = next(a["content"] for tag, a in Tags(text).tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for kind, pattern in (("style", "<style>(.*?)</style>"), ("script", "<script>(.*?)</script>")):
        found = re.findall(pattern, text, re.S)
        assert len(found) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_script_makes_no_markup_and_asks_for_nothing(explorer: Explorer) -> None:
    script = re.findall("<script>(.*?)</script>", explorer.page.decode(), re.S)[0]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(",
                 "XMLHttpRequest", "WebSocket", "import(", "http:", "https:", "localStorage"):  # fmt: skip
        assert word not in script


def test_features_and_printed_correlations(explorer: Explorer, dataset: FolderDataset, subjects: list[Subject]) -> None:
    """From the page's own bytes, recomputed with plain loops."""
    content = Content(explorer.page)
    for n, subject in enumerate(subjects):
        found: dict[str, list[float]] = {"dot": [], "cosine": []}
        for i, sample in enumerate(dataset.samples("test")):
            exact = subject.look(dataset.read(sample)[0]).features_CHW
            shown = torch.from_numpy(content.features(i, n)).permute(2, 0, 1)
            assert shown.shape[1:] == exact.shape[1:]
            height, width = exact.shape[1:]
            rows = sorted({(2 * k + 1) * height // 10 for k in range(5)})
            columns = sorted({(2 * k + 1) * width // 10 for k in range(5)})
            for form, values in found.items():
                for at in ((row, column) for row in rows for column in columns):
                    maps = [relation_map(x, at, form).flatten().numpy() for x in (exact, shown)]  # type: ignore[arg-type]
                    values.append(float(np.corrcoef(*maps)[0, 1]))
        for form, values in found.items():
            printed = content.data["networks"][n]["correlation"][form]
            assert printed["mean"] == pytest.approx(np.mean(values), abs=1e-9)
            assert printed["minimum"] == pytest.approx(min(values), abs=1e-9)
            assert printed["minimum"] > 0.99
        assert content.data["networks"][n] == explorer.fidelities[n].to_dict()


def test_labels_are_the_networks_own(explorer: Explorer, dataset: FolderDataset, subjects: list[Subject]) -> None:
    content = Content(explorer.page)
    sample = dataset.samples("test")[0]  # shown at its own size
    image, label = dataset.read(sample)
    entry = content.data["images"][0]
    assert content.array(entry["truth"]).tolist() == label.tolist()
    for subject, view in zip(subjects, entry["views"], strict=True):
        assert content.array(view["prediction"]).tolist() == subject.predict(image).tolist()


def test_the_page_is_the_same_again_and_within_the_limit(dataset: FolderDataset, subjects: list[Subject]) -> None:
    whole = make_explorer(dataset, subjects)
    assert make_explorer(dataset, subjects).page == whole.page
    limit = len(whole.page) - 15_000
    small = make_explorer(dataset, subjects, limit_bytes=limit)
    assert len(small.page) <= limit
    pairs = list(zip(small.fidelities, whole.fidelities, strict=True))
    assert any(a.components < b.components for a, b in pairs)
    for a, b in pairs:
        assert 4 <= a.components <= b.components <= b.channels
        assert a.kept <= b.kept <= 1


def test_a_limit_too_small_names_the_numbers(dataset: FolderDataset, subjects: list[Subject]) -> None:
    with pytest.raises(InputError, match=r"may have 0\.05 MB.*3 images and 2 networks.*--megabytes 0\.\d") as caught:
        make_explorer(dataset, subjects, limit_bytes=50_000)
    advised = re.findall(r"--megabytes ([\d.]+)", str(caught.value))[0]
    limit = round(float(advised) * 10**6)
    assert len(make_explorer(dataset, subjects, limit_bytes=limit).page) <= limit


def test_progress_ends_at_all(dataset: FolderDataset, subjects: list[Subject]) -> None:
    told: list[tuple[int, int]] = []
    make_explorer(dataset, subjects[:1], progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)]


def test_unusable_input(dataset: FolderDataset, subjects: list[Subject]) -> None:
    samples = dataset.samples("test")
    with pytest.raises(InputError, match="0 networks"):
        build_explorer([], dataset, "test", samples)
    with pytest.raises(InputError, match="0 images"):
        build_explorer(subjects, dataset, "test", [])
    with pytest.raises(InputError, match="base, base"):
        build_explorer([subjects[0]] * 2, dataset, "test", samples)
    with pytest.raises(InputError, match=r"'m' has shape \(4, 5\)"):
        build_explorer(subjects, dataset, "test", samples, {"m": np.zeros((4, 5))})


def test_features_that_are_not_finite_are_refused(dataset: FolderDataset) -> None:
    broken = make_subjects()[:1]
    with torch.no_grad():
        next(broken[0].network.parameters()).fill_(torch.inf)
    with pytest.raises(InputError, match=r"'base'.*nan or infinite"):
        build_explorer(broken, dataset, "test", dataset.samples("test"))


def test_named_images(dataset: FolderDataset) -> None:
    assert [s.name for s in named_samples(dataset, "test", ["large", EVIL_FILE])] == ["large", EVIL_FILE]
    with pytest.raises(InputError, match="no image 'larg'; did you mean 'large'"):
        named_samples(dataset, "test", ["larg"])
    with pytest.raises(InputError, match="twice"):
        named_samples(dataset, "test", ["a", "a"])


def test_chosen_images(dataset: FolderDataset) -> None:
    assert [s.name for s in choose_samples(dataset, "test", 1)] == ["large"]  # the one with three classes
    assert choose_samples(dataset, "test", 9) == dataset.samples("test")
    with pytest.raises(InputError, match="count=0"):
        choose_samples(dataset, "test", 0)


def test_choice_covers_the_classes_and_spreads() -> None:
    present = np.zeros((1000, 12), dtype=bool)
    present[:, 0] = True
    for k in range(1, 12):
        present[100 + k, k] = True
    chosen = spread_indices(present, 40)
    assert len(set(chosen)) == 40
    assert chosen == sorted(chosen)
    assert present[chosen].any(axis=0).all()
    gaps = np.diff([-1, *chosen, 1000])
    assert gaps.max() <= 80  # 29 images for the other 989
