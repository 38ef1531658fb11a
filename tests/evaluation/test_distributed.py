"""Two processes count what one counts, whatever their shares."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from classaware.errors import InputError
from classaware.evaluation.distributed import processes, speaks, together
from classaware.evaluation.inference import Inference
from classaware.evaluation.runner import Counts, evaluate
from classaware.models import Backbone, FCNHead, Segmenter

IMAGES = 5


def batches(names: list[int]) -> list[dict[str, Any]]:
    made = []
    for i in names:
        generator = torch.Generator().manual_seed(i)
        image = torch.randint(0, 256, (1, 3, 32, 40), generator=generator, dtype=torch.uint8)
        label = torch.randint(0, 4, (1, 32, 40), generator=generator)
        label[label == 3] = 255
        made.append({"image": image, "label": label, "name": [f"image {i}"]})
    return made


def count(names: list[int]) -> Counts:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = Segmenter(Backbone("test_resnet"), lambda channels: FCNHead(channels, 8), 3).eval()
    with torch.no_grad():  # so that not one class is predicted everywhere
        std, mean = torch.std_mean(network(torch.rand(64, 3, 24, 24)).logits, (0, 2, 3))
        network.classifier.weight /= std[:, None, None, None]
        network.classifier.bias.copy_((network.classifier.bias - mean) / std)
    return evaluate(network, batches(names), 255, Inference(window=(24, 24)))


def plain(counts: Counts) -> Any:
    boundary = None if counts.boundary is None else counts.boundary.tolist()
    images = [(name, found.tolist()) for name, found in counts.per_image.items()]
    return json.loads(json.dumps([counts.confusion.tolist(), boundary, counts.ignored, images]))


def worker(rank: int, shares: list[list[list[int]]], folder: str) -> None:
    """One group for all cases: starting a process takes seconds."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    results: list[Any] = []
    for share in shares:
        results.append(plain(count(share[rank])))
    for names in ([[0], [0]], [[0, 1], [2, 2]]):  # an image of both, an image twice in one
        try:
            count(names[rank])
        except InputError as error:
            results.append(str(error))
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def test_two_processes_count_what_one_counts(tmp_path: Path) -> None:
    shares = [[[0, 2, 4], [1, 3]], [[0, 1, 2, 3, 4], []], [[], [3, 1, 4, 0, 2]]]
    mp.spawn(worker, (shares, str(tmp_path)), nprocs=2)
    alone = plain(count(list(range(IMAGES))))
    assert sum(map(any, zip(*alone[0], strict=True))) > 1
    assert sum(map(sum, alone[0])) + alone[2] == IMAGES * 32 * 40
    for rank in range(2):
        results = json.loads((tmp_path / f"{rank}.json").read_text())
        assert results[:3] == [alone] * 3
        assert "'image 0' comes twice" in results[3]
        assert "'image 2' comes twice" in results[4], "the other process must not wait for ever"


def test_one_process_needs_no_group() -> None:
    with processes() as who:
        assert who == (0, 1)
        assert together(lambda: 3) == 3
        assert not dist.is_initialized()

    def fail() -> None:
        raise InputError("this")

    with pytest.raises(InputError, match="this"):
        together(fail)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"WORLD_SIZE": "2"}, "RANK=None"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two'"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR"),
    ],
)
def test_an_environment_that_says_too_little_is_refused(
    environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=named), processes():
        pass


def test_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, expected in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert speaks() is expected


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    options = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "classaware", "evaluate"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *options, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
