"""The public data sets that ``classaware data prepare`` reads, one file each."""

from classaware.data.sources.ade20k import Ade20K
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.camvid import CamVidSource
from classaware.data.sources.cityscapes import Cityscapes
from classaware.data.sources.coco_stuff_10k import CocoStuff10K
from classaware.data.sources.coco_stuff_164k import CocoStuff164K
from classaware.data.sources.folder import Folder
from classaware.data.sources.msrc21 import Msrc21
from classaware.data.sources.pascal_context import PascalContext, PascalContext60
from classaware.data.sources.voc2012 import Voc2012

_ALL: tuple[Source, ...] = (
    PascalContext(),
    PascalContext60(),
    CocoStuff10K(),
    CocoStuff164K(),
    Cityscapes(),
    Ade20K(),
    Voc2012(),
    CamVidSource(),
    Msrc21(),
    Folder(),
)
SOURCES: dict[str, Source] = {source.name: source for source in _ALL}

__all__ = ["IGNORED", "SOURCES", "Layout", "Original", "Source"]
