"""Data sets, transforms and loaders."""

from classaware.data.biased_scenes import BiasedScenes
from classaware.data.camvid import CamVid
from classaware.data.dataset import IMAGE_SUFFIXES, Sample, SegmentationDataset, read_image
from classaware.data.folder import FolderDataset
from classaware.data.module import SegmentationData
from classaware.data.sampler import StepSampler
from classaware.data.transforms import SCALES, EvalTransform, TrainTransform

__all__ = [
    "IMAGE_SUFFIXES",
    "SCALES",
    "BiasedScenes",
    "CamVid",
    "EvalTransform",
    "FolderDataset",
    "Sample",
    "SegmentationData",
    "SegmentationDataset",
    "StepSampler",
    "TrainTransform",
    "read_image",
]
