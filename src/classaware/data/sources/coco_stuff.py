"""The 171 classes of COCO-Stuff (Caesar, Uijlings, Ferrari, CVPR 2018), for its two sizes.

The data set numbers 182 things and stuff from 1; 0 is unlabeled. 11 of the things were never drawn, and the classes are
the other 171 in the order of their numbers.
"""

from classaware.data.dataset import default_palette
from classaware.data.sources.base import IGNORED

UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})  # such as 26 hat, 66 mirror, 71 door
NUMBERS = tuple(number for number in range(1, 183) if number not in UNUSED)
CLASS_OF_NUMBER = {number: index for index, number in enumerate(NUMBERS)} | dict.fromkeys(UNUSED | {0}, IGNORED)

_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier,
toothbrush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble,
floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel,
ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement,
pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other,
towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood,
water-other, waterdrops, window-blind, window-other, wood
"""
CLASS_NAMES = tuple(" ".join(name.split()) for name in _NAMES.split(","))
PALETTE = default_palette(len(CLASS_NAMES) + 1)[1:]  # without black, which pictures show where nothing is
LICENSE = "images: the terms of Flickr; annotations: Creative Commons Attribution 4.0 (CC BY 4.0)"
REFERENCE = "Caesar, Uijlings, Ferrari: COCO-Stuff: Thing and Stuff Classes in Context, CVPR 2018"
