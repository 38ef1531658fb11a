"""ADE20K (Zhou et al., CVPR 2017), the 150 classes of the scene parsing challenge of 2016."""

import numpy as np
from numpy.typing import NDArray

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, pair, place
from classaware.data.sources.values import ValueTable

_NAMES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair,
seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers,
counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck,
tower, chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land,
bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer,
plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank,
trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic
light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
_COLORS = bytes.fromhex(
    """
    787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff0652
    8fff8cccff04ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0
    ffb8060aff47ff290a07ffffe0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff
    8c8c8cfa0a0f14ff001fff00ff1f00ffe00099ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff
    00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff000052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ff
    ff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc200ff52000aff0070ff3300ff00c2ff007aff
    00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ffff001f00b8ff00d6ffff0070
    5cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ffff007afff500
    0abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff
    b8ff000085ffffd60019c2c266ff005c00ff
    """
)
_VALUES = ValueTable({0: IGNORED} | {number: number - 1 for number in range(1, 151)})
_FOLDERS = {"train": "training", "val": "validation"}


class Ade20K(Source):
    """From ``images/training/X.jpg`` and ``annotations/training/X.png``, likewise validation; 0 is none of the 150."""

    name = "ade20k"
    title = "ADE20K"
    class_names = tuple(" ".join(name.split()) for name in _NAMES.split(","))
    palette = tuple((_COLORS[k], _COLORS[k + 1], _COLORS[k + 2]) for k in range(0, 450, 3))
    expected = {"train": 20_210, "val": 2_000}  # noqa: RUF012
    download = (
        "ADEChallengeData2016.zip (0.9 GB) from MIT CSAIL, linked on http://sceneparsing.csail.mit.edu (scene parsing "
        "challenge 2016, benchmark data). Give the zip as it is, or unpacked. The full ADE20K with its thousands of "
        "classes is another download and is not read."
    )
    license = "MIT CSAIL's own terms, on the download's page: images for non-commercial research and education"
    reference = "Zhou, Zhao, Puig, Fidler, Barriuso, Torralba: Scene Parsing through ADE20K Dataset, CVPR 2017"

    def find(self, tree: Tree) -> Layout:
        """Training and validation; the test images have no labels."""
        originals: list[Original] = []
        for split, folder in _FOLDERS.items():
            images = by_name(tree, rf"images/{folder}/([^/]+)\.jpg")
            labels = by_name(tree, rf"annotations/{folder}/([^/]+)\.png")
            if not images:
                raise missing(self, f"images/{folder}/X.jpg")
            if not labels:
                raise missing(self, f"annotations/{folder}/X.png")
            originals += pair(self, split, sorted(images | labels), images, labels)
        return Layout("ADEChallengeData2016", originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """0 is ignored, 1 to 150 are the classes."""
        entry: Entry = original.label
        return _VALUES(decode_mask(entry.read(), place(entry)), place(entry))
