"""Data sets, transforms and loaders."""

from classaware.data.biased_scenes import BiasedScenes
from classaware.data.camvid import CamVid
from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.folder import FolderDataset
from classaware.data.module import SegmentationData
from classaware.data.reading import IMAGE_SUFFIXES, read_image
from classaware.data.sampler import StepSampler
from classaware.data.transforms import SCALES, TrainTransform

__all__ = [
    "IMAGE_SUFFIXES",
    "SCALES",
    "BiasedScenes",
    "CamVid",
    "FolderDataset",
    "Sample",
    "SegmentationData",
    "SegmentationDataset",
    "StepSampler",
    "TrainTransform",
    "read_image",
]
