"""The regularizer needs torch and the standard library, nothing else."""

import subprocess
import sys

ALONE = """
import sys

# What "pip install torch" brings with it; numpy is not among them.
WITH_TORCH = {"torch", "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock",
              "fsspec", "typing_extensions", "triton", "nvidia", "setuptools", "_distutils_hack"}

class Only:
    # Asks another finder for what may be found; the rest is not installed.

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top == "classaware" or top in WITH_TORCH or top.startswith("_sysconfigdata")
        return self.finder.find_spec(name, path, target) if known or top in sys.stdlib_module_names else None

sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
try:
    import numpy
except ModuleNotFoundError:
    pass
else:
    sys.exit("numpy is there, so nothing is shown")

import classaware
import classaware.regularization
import torch

car = classaware.ClassAwareRegularization(num_classes=3)
features = torch.randn(2, 8, 5, 6, requires_grad=True)
labels = torch.randint(0, 3, (2, 20, 24))
labels[:, :3] = 255
car(features, labels).total.backward()
assert torch.isfinite(features.grad).all() and features.grad.abs().sum() > 0
ours = {name for name in sys.modules if name.startswith("classaware.")} - {"classaware.errors"}
assert all(name.startswith("classaware.regularization") for name in ours), ours
print("alone")
"""


def test_regularizer_works_where_only_torch_is_installed() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alone\n"), done.stderr
