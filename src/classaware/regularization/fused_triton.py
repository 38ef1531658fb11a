"""The three passes of the fused regularizer as Triton kernels, for CUDA (or Triton's interpreter)."""

from classaware.regularization.triton_gradient import gradient_pass
from classaware.regularization.triton_pixels import pixel_pass
from classaware.regularization.triton_sums import class_sums

__all__ = ["class_sums", "gradient_pass", "pixel_pass"]
