import numpy as np
import pytest
from PIL import Image

from classaware.data.sources import IGNORED, SOURCES
from classaware.data.sources.pascal_context import _NUMBERS
from classaware.errors import InputError

CONTEXT, CONTEXT60 = SOURCES["pascal-context"], SOURCES["pascal-context-60"]
NAMES = CONTEXT.class_names
SKY, WOOD = NAMES.index("sky"), NAMES.index("wood")
VOC = "VOCdevkit/VOC2010/"
# aeroplane, sky, wood, unknown (431), not labeled, accordion (1)
MAP = np.array([[2, 360, 458], [431, 0, 1]], dtype=np.uint16)
CLASSES = [[0, SKY, WOOD], [IGNORED] * 3]
CLASSES60 = [[1, SKY + 1, WOOD + 1], [0] * 3]
LISTS = {f"{VOC}ImageSets/Main/train.txt": "2008_000001\n", f"{VOC}ImageSets/Main/val.txt": "2008_000002\n"}


@pytest.fixture
def voc(photo):
    images = {f"{VOC}JPEGImages/2008_00000{k}.jpg": photo for k in (1, 2, 3)}
    return images | LISTS | {f"{VOC}ImageSets/Segmentation/train.txt": "2008_000003\n"}


@pytest.mark.parametrize(("source", "classes"), [(CONTEXT, CLASSES), (CONTEXT60, CLASSES60)])
def test_mat_files_of_459_classes(lay, voc, read, source, classes) -> None:
    labels = {f"trainval/2008_00000{k}.mat": {"LabelMap": MAP, "other": "text"} for k in (1, 2)}
    layout = source.find(lay(VOCtrainval__tar=voc, trainval__tar__gz=labels))
    assert layout.form == "459-class MATLAB label maps"
    assert layout.expected is None
    assert read(source, layout) == {("train", "2008_000001"): classes, ("val", "2008_000002"): classes}
    assert layout.originals[0].image.path.endswith("JPEGImages/2008_000001.jpg")


def test_every_number_of_the_59(lay, voc, read) -> None:
    everything = np.arange(460, dtype=np.float64).reshape(20, 23)
    tree = lay(voc | {f"trainval/2008_00000{k}.mat": {"LabelMap": everything} for k in (1, 2)})
    found = np.array(read(CONTEXT, CONTEXT.find(tree))["train", "2008_000001"]).ravel()
    for number in range(460):
        name = next((name for name, own in _NUMBERS.items() if own == number), None)
        assert found[number] == (IGNORED if name is None else NAMES.index(name))


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths, column by column."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def region(image: int, number: int, mask: np.ndarray) -> dict:
    counts = {"counts": runs(mask), "size": list(mask.shape)}
    parts = [{"part_id": 100, "segmentation": counts}]
    return {"id": 1, "image_id": image, "category_id": number, "segmentation": counts, "parts": parts, "bbox": [0]}


@pytest.fixture
def detail():
    sky, wood = np.zeros((2, 3), dtype=bool), np.zeros((2, 3), dtype=bool)
    sky[0, :], wood[:, 2] = True, True
    images = [
        {"image_id": k, "file_name": f"2008_00000{k}.jpg", "height": 2, "width": 3, "phase": phase}
        for k, phase in ((1, "train"), (2, "val"), (3, "test"))
    ]
    regions = [region(1, 360, sky), region(2, 458, wood), region(1, 458, wood), region(2, 360, sky)]
    return {"info": {}, "images": images, "annos_segmentation": regions, "annos_boundary": [], "parts": []}


@pytest.mark.parametrize(("source", "first", "rest"), [(CONTEXT, 0, IGNORED), (CONTEXT60, 1, 0)])
def test_json_of_pascal_in_detail_paints_later_regions_on_top(lay, voc, detail, read, source, first, rest) -> None:
    layout = source.find(lay(voc | {"trainval_merged.json": detail}))
    s, w = SKY + first, WOOD + first
    assert layout.expected == {"train": 4996, "val": 5104}
    assert read(source, layout) == {
        ("train", "2008_000001"): [[s, s, w], [rest, rest, w]],
        ("val", "2008_000002"): [[s, s, s], [rest, rest, w]],
    }


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda detail: detail.pop("images"), "not the JSON of PASCAL in Detail"),
        (lambda detail: detail["annos_segmentation"][0].update(image_id=9), "not the JSON of PASCAL in Detail"),
        (lambda detail: [image.update(phase="test") for image in detail["images"]], "phase train"),
        (lambda detail: detail["images"][0].update(file_name="2009_000009.jpg"), "first 2009_000009"),
    ],
)
def test_other_json(lay, voc, detail, damage, message) -> None:
    damage(detail)
    with pytest.raises(InputError, match=message):
        CONTEXT.find(lay(voc | {"trainval_merged.json": detail}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda detail: detail["images"][0].update(height=7), r"trainval_merged\.json \(2008_000001\).*does not fill"),
        (lambda detail: detail["images"][0].update(height=10**6, width=10**6), "no size of an image"),
        (lambda detail: detail["annos_segmentation"][0].update(category_id=700), "holds the value 700"),
    ],
)
def test_json_with_labels_that_do_not_fit(lay, voc, detail, damage, message) -> None:
    damage(detail)
    layout = CONTEXT.find(lay(voc | {"trainval_merged.json": detail}))
    with pytest.raises(InputError, match=message):
        CONTEXT.label(layout.originals[0])


def test_a_cut_json(lay, voc) -> None:
    with pytest.raises(InputError, match=r"trainval_merged\.json is not the JSON"):
        CONTEXT.find(lay(voc | {"trainval_merged.json": '{"images": [{"image_id": 1, '}))


def paletted(values: list[list[int]]) -> Image.Image:
    picture = Image.fromarray(np.array(values, dtype=np.uint8))
    picture.putpalette(bytes(range(256)) * 3)
    return picture


@pytest.mark.parametrize(
    ("source", "classes"),
    [(CONTEXT, [[IGNORED, 0, WOOD]]), (CONTEXT60, [[0, 1, WOOD + 1]])],
)
@pytest.mark.parametrize("picture", [paletted, lambda values: np.array(values, dtype=np.uint8)])
def test_the_authors_folder_has_0_for_nothing(lay, photo, read, source, classes, picture) -> None:
    files = {f"images/{name}.jpg": photo for name in "ab"} | {"train.txt": "a\n", "val.txt": "b "}
    files |= {"labels/a.png": picture([[0, 1, 59]]), "labels/b.png": picture([[0, 0, 0]])}
    layout = source.find(lay(files))
    assert layout.form == "ready PNG masks"
    rest = classes[0][0]
    assert read(source, layout) == {("train", "a"): classes, ("val", "b"): [[rest] * 3]}


@pytest.mark.parametrize(
    ("source", "classes", "rest"), [(CONTEXT, [[0, WOOD, IGNORED]], IGNORED), (CONTEXT60, [[1, WOOD + 1, 0]], 0)]
)
def test_masks_from_0_to_58_and_255(lay, voc, read, source, classes, rest) -> None:
    first, second = np.array([[0, 58, 255]], dtype=np.uint8), np.array([[255, 255, 255]], dtype=np.uint8)
    files = {"59_context_labels/2008_000001.png": first, "59_context_labels/2008_000002.png": second}
    layout = source.find(lay(VOC__tar=voc, labels__tgz=files))
    assert read(source, layout) == {("train", "2008_000001"): classes, ("val", "2008_000002"): [[rest] * 3]}


def test_masks_in_the_order_of_the_numbers(lay, voc, read) -> None:
    # Of all the numbers, 2 (aeroplane), 9 (bag) and 458 (wood) are first, second and last.
    mask = np.array([[0, 1, 2, 59]], dtype=np.uint8)
    lists = {
        f"{VOC}ImageSets/SegmentationContext/{split}.txt": f"2008_00000{k}" for split, k in (("train", 3), ("val", 1))
    }
    files = voc | lists | {f"{VOC}SegmentationClassContext/2008_00000{k}.png": mask for k in (1, 3)}
    layout = CONTEXT.find(lay(files))
    assert layout.expected == {"train": 4996, "val": 5104}
    expected = [[IGNORED, 0, NAMES.index("bag"), WOOD]]
    assert read(CONTEXT, layout) == {("train", "2008_000003"): expected, ("val", "2008_000001"): expected}


@pytest.mark.parametrize("values", [[[0, 5, 7]], [[0, 5, 255]]])
def test_masks_that_do_not_tell_what_0_is_are_refused(lay, photo, values) -> None:
    files = {"images/a.jpg": photo, "images/b.jpg": photo, "train.txt": "a", "val.txt": "b"}
    files |= dict.fromkeys(("labels/a.png", "labels/b.png"), np.array(values, dtype=np.uint8))
    with pytest.raises(InputError, match="do not tell whether 0 is a class"):
        CONTEXT.find(lay(files))


def test_a_value_beyond_59(lay, photo) -> None:
    files = {"images/a.jpg": photo, "train.txt": "a", "val.txt": "a"}
    layout = CONTEXT.find(lay(files | {"labels/a.png": np.array([[59, 60]], dtype=np.uint8)}))
    with pytest.raises(InputError, match=r"labels/a\.png holds the value 60 \(1 such"):
        CONTEXT.label(layout.originals[0])


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("JPEGImages/2008_000002.jpg", "1 of the 1 images of split val, first 2008_000002,"),
        ("trainval/2008_000001.mat", "1 of the 1 labels of split train, first 2008_000001,"),
        ("ImageSets/Main/val.txt", "ImageSets/Main/val.txt"),
        ("jpg", r"JPEGImages/X.jpg \(VOCtrainval_03-May-2010.tar\)"),
        (".mat", "trainval/X.mat"),
    ],
)
def test_incomplete_downloads(lay, voc, gone, message) -> None:
    labels = {f"trainval/2008_00000{k}.mat": {"LabelMap": MAP} for k in (1, 2)}
    files = {path: value for path, value in (voc | labels).items() if gone not in path}
    with pytest.raises(InputError, match=message) as caught:
        CONTEXT.find(lay(files))
    assert "What to download: " in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read as a MATLAB file"),
        (b"MATLAB 5.0 MAT-file" + bytes(200), "2008_000001.mat"),
        ({"Other": MAP}, "has no variable LabelMap"),
        ({"LabelMap": MAP[0]}, None),
        ({"LabelMap": np.zeros((2, 3, 4))}, "is no label map"),
        ({"LabelMap": "text"}, "is no label map"),
        ({"LabelMap": MAP + 0.5}, "no whole numbers"),
        ({"LabelMap": MAP + np.nan}, "no whole numbers"),
        ({"LabelMap": np.zeros((0, 0))}, "is no label map"),
        ({"LabelMap": {"field": MAP}}, "is no label map"),
        ({"LabelMap": MAP + 1j}, "is no label map"),
        ({"LabelMap": MAP + 459}, "holds the value 461"),
        ({"LabelMap": MAP.astype(np.int16) - 1}, "holds the value -1"),
    ],
)
def test_damaged_mat_files(lay, voc, data, message) -> None:
    layout = CONTEXT.find(lay(voc | {f"trainval/2008_00000{k}.mat": data for k in (1, 2)}))
    if message is None:
        assert CONTEXT.label(layout.originals[0]).shape == (1, 3)
        return
    with pytest.raises(InputError, match=message) as caught:
        CONTEXT.label(layout.originals[0])
    assert "2008_000001.mat" in str(caught.value)
