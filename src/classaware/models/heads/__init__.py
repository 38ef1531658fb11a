"""Context heads: one published method a file."""

from classaware.models.heads.acfnet import ACFNetHead
from classaware.models.heads.base import Head, HeadFactory, HeadInputs, HeadOutput
from classaware.models.heads.caa import CAAHead
from classaware.models.heads.ccnet import CCNetHead
from classaware.models.heads.cpnet import CPNetHead
from classaware.models.heads.danet import DANetHead
from classaware.models.heads.deeplabv3 import DeepLabV3Head
from classaware.models.heads.fcn import FCNHead
from classaware.models.heads.ocr import OCRHead
from classaware.models.heads.self_attention import SelfAttentionHead
from classaware.models.heads.upernet import UPerNetHead

__all__ = [
    "HEADS",
    "ACFNetHead",
    "CAAHead",
    "CCNetHead",
    "CPNetHead",
    "DANetHead",
    "DeepLabV3Head",
    "FCNHead",
    "Head",
    "HeadFactory",
    "HeadInputs",
    "HeadOutput",
    "OCRHead",
    "SelfAttentionHead",
    "UPerNetHead",
]

# By the names that create_segmenter takes.
HEADS: dict[str, HeadFactory] = {
    "fcn": FCNHead,
    "deeplabv3": DeepLabV3Head,
    "self-attention": SelfAttentionHead,
    "ccnet": CCNetHead,
    "danet": DANetHead,
    "cpnet": CPNetHead,
    "ocr": OCRHead,
    "acfnet": ACFNetHead,
    "upernet": UPerNetHead,
    "caa": CAAHead,
}
