"""Configurations by name: YAML blocks to combine, and the rows of the paper's tables made of them."""

from classaware.recipes.blocks import BLOCKS, Block
from classaware.recipes.rows import ROWS, Row

__all__ = ["BLOCKS", "ROWS", "Block", "Row"]
