"""Every block of Python of README and documentation runs, page by page from top to bottom."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, name_of

from classaware.commands.main import main

PYTHON = {name_of(page): [block for block in blocks(page) if block.language == "python"] for page in PAGES}
# What somebody has who installed this wheel and segmentation_models_pytorch: everything else of ours is kept from them.
OURS_ALONE = ("jsonargparse", "pytorch_lightning", "torchmetrics", "matplotlib", "rich", "tensorboard", "scipy", "onnx")


# Commands of a page without whose files its Python does not run.
COMMANDS_BEFORE = {"docs/export.md": "export runs/mine/last.ckpt mine.onnx"}


@pytest.mark.parametrize("page", [page for page, found in PYTHON.items() if found])
def test_python_blocks_run_one_after_the_other(page: str, bench: Path) -> None:
    if page in COMMANDS_BEFORE:
        assert main(COMMANDS_BEFORE[page].split()) == 0
    names: dict[str, object] = {"__name__": "page"}
    for block in PYTHON[page]:
        exec(compile("\n" * block.line + block.code, page, "exec"), names)


def test_drop_in_of_the_readme_needs_torch_and_smp_alone(tmp_path: Path) -> None:
    hidden = f"import sys\nfor name in {OURS_ALONE}: sys.modules[name] = None\n"
    code = hidden + PYTHON["README.md"][0].code
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT / "src")})
    import segmentation_models_pytorch as smp
    import torch

    plain = smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=21)
    plain.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_drop_in_of_the_readme_is_ten_lines_or_so() -> None:
    code = PYTHON["README.md"][0].code
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 12
    assert sum("attach(" in line or "car." in line for line in lines) == 3
