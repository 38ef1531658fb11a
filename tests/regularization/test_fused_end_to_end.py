"""The regularizer on Triton kernels, run by Triton's interpreter in a process of its own."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SCRIPT = """
import itertools
import torch
from car_cases import random_case, total_and_gradient
from classaware import ClassAwareRegularization
from classaware.regularization import fused_triton, passes

passes._passes = lambda x: fused_triton
layouts = (torch.channels_last, torch.contiguous_format)
cases = itertools.product(("released", "paper", "masked"), ("batch", "image", "ema"), (5, 70))
for i, (preset, centers, classes) in enumerate(cases):
    x, y = random_case(i, (2, 20, 5, 7), 4)
    x = x.float().contiguous(memory_format=layouts[i % 2])
    pair = [ClassAwareRegularization(classes, preset=preset, centers=centers, fused=fused) for fused in (True, False)]
    for _ in range(2):
        found, expected = (total_and_gradient(car, x, y) for car in pair)
        torch.testing.assert_close(found[0], expected[0], rtol=2e-6, atol=1e-7)
        assert float((found[1] - expected[1]).norm()) <= 1e-5 * float(expected[1].norm()), (preset, centers, classes)
for classes in (5, 130):  # a number that is none is not lost
    x, y = random_case(0, (2, 20, 5, 7), 4, ignored_share=0.5)
    x[0, 3].view(-1)[(y[0].view(-1) == 255).nonzero()[0]] = torch.nan
    assert ClassAwareRegularization(classes)(x.float(), y).inter_c2p.isnan()
print("same")
"""


def test_values_and_gradients_of_all_presets_and_centers() -> None:
    environment = os.environ | {
        "TRITON_INTERPRET": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "same", done.stderr
