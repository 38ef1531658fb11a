"""Context heads: one published method a file."""

from classaware.models.heads.base import Head, HeadFactory
from classaware.models.heads.fcn import FCNHead
from classaware.models.heads.self_attention import SelfAttentionHead

__all__ = ["FCNHead", "Head", "HeadFactory", "SelfAttentionHead"]
