"""The Triton kernels in Triton's interpreter against loops over pixels, and their machine code for an H100.

Triton reads TRITON_INTERPRET when it is imported, so both run in processes of their own: this very file as a script.
"""

import math
import os
import random
import re
import subprocess
import sys
import tempfile
from typing import Any

import pytest
import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SEEDS, SHARES = 60, 2


class Case:
    """Random arguments of the three passes, every option drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.seed = seed
        self.dtype = draw.choices(DTYPES, (4, 2, 1))[0]
        sizes = [(1, 1, 1), (1, 1, 7), (3, 5, 1), (2, 9, 13), (3, 5, 7), (1, 8, 8), (2, 11, 12)]
        self.B, self.H, self.W = draw.choice(sizes)
        self.C, self.K = draw.choice([1, 5, 48, 64, 100, 300]), draw.choice([1, 2, 7, 59, 64, 129, 300])
        self.G = draw.choice([1, self.B])
        self.squares, self.count_unlabelled = draw.random() < 0.5, draw.random() < 0.5
        self.live = draw.choice([0, 1, self.K, self.K, self.K // 2])
        self.channels_last = draw.random() < 0.5
        self.scale = draw.choice([1 / math.sqrt(self.C), 0.7])
        B, P, K, C, G = self.B, self.H * self.W, self.K, self.C, self.G
        random_ = torch.Generator().manual_seed(seed)
        x = torch.randn(B, C, self.H, self.W, generator=random_).to(self.dtype)
        self.x = x.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)
        self.y = torch.randint(K + 1, (B, P), generator=random_, dtype=torch.int32)
        kind = draw.choice(["any", "any", "few", "none", "all"])
        if kind == "few":
            self.y = torch.where(self.y % 3 > 0, min(2, K), self.y)
        elif kind != "any":
            self.y = torch.full_like(self.y, K) if kind == "none" else self.y.clamp(max=K - 1)
        gone = torch.arange(K) >= self.live
        self.mu = torch.randn(G, K, C, generator=random_).masked_fill(gone[:, None], 0) * draw.choice([0.3, 1.5])
        self.ideal = self.mu.square().sum(-1) * self.scale
        share_of_classes = draw.choice([1.0, 1.0, 0.6, 0.0])
        self.part = torch.rand(G, K, generator=random_) < share_of_classes
        whole = share_of_classes == 1 and draw.random() < 0.7
        self.part |= gone & whole
        self.rest = torch.full((G,), float(K - self.live if whole else 0))
        total = self.part[:, : self.live].sum(1) + self.rest
        self.share = (0.25 / (total - 1).clamp(min=1)).float()
        self.dsums = torch.randn(G, K, C, generator=random_)
        self.coefs = torch.randn(2, generator=random_)
        self.live_0 = torch.tensor(self.live, dtype=torch.int32)

    def __repr__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if not isinstance(value, torch.Tensor))


def reference_sums(case: Case, per_image: bool) -> torch.Tensor:
    x = case.x.double().flatten(2)
    sums = torch.zeros(case.B if per_image else 1, case.K, case.C, dtype=torch.float64)
    for b in range(case.B):
        for p, label in enumerate(case.y[b].tolist()):
            if label < case.K:
                sums[b if per_image else 0, label] += x[b, :, p]
    return sums


def reference_pixels(case: Case) -> tuple[float, float, torch.Tensor, float]:
    """Sum of distances, sum of terms, slopes of the live classes, largest logit; pixel by pixel in float64."""
    K, live = case.K, case.live
    x, mu, ideal = case.x.double().flatten(2), case.mu.double(), case.ideal.double()
    distances, terms, largest = 0.0, 0.0, 0.0
    slopes = torch.zeros(case.B, x.shape[2], live, dtype=torch.float64)
    for b in range(case.B):
        g = b if case.G > 1 else 0
        share, rest = float(case.share[g]), int(case.rest[g])
        similarity_PK = (mu[g, :live] @ x[b]).T * case.scale
        for p, label in enumerate(case.y[b].tolist()):
            if label < K:
                away = (mu[g, label] - x[b, :, p]).abs()
                distances += float((away**2 if case.squares else away).sum())
            # One list of everything in the softmax: live classes that take part, then the rest, each with its class.
            columns = [k for k in range(live) if case.part[g, k]]
            values = [float(ideal[g, k] if k == label else similarity_PK[p, k]) for k in columns] + [0.0] * rest
            is_own = [k == label for k in columns] + [False] * rest
            largest = max([largest, *map(abs, values)])
            if rest and live <= label < K:
                is_own[-1] = True
            attention = torch.tensor(values, dtype=torch.float64).softmax(0).tolist() if values else []
            above = [a > share and not own for a, own in zip(attention, is_own, strict=True)]
            row = sum(a - share for a, over in zip(attention, above, strict=True) if over)
            counted = case.count_unlabelled or label < K
            if case.squares:
                term, factor = row**2, 2 * row
            else:
                term = min(max(row, 1e-7), 1 - 1e-7)
                factor = 1.0 if 1e-7 <= row <= 1 - 1e-7 else 0.0
            terms += term * counted
            q = sum(a for a, over in zip(attention, above, strict=True) if over)
            for i, k in enumerate(columns):
                if k != label:
                    slopes[b, p, k] = case.scale * factor * counted * attention[i] * (above[i] - q)
    return distances, terms, slopes, largest


def reference_gradient(case: Case, slopes: torch.Tensor) -> torch.Tensor:
    x, mu = case.x.double().flatten(2), case.mu.double()
    gradient = torch.zeros_like(x)
    for b in range(case.B):
        g = b if case.G > 1 else 0
        for p, label in enumerate(case.y[b].tolist()):
            gradient[b, :, p] = case.coefs[1].double() * (slopes[b, p] @ mu[g, : case.live])
            if label < case.K:
                away = x[b, :, p] - mu[g, label]
                gradient[b, :, p] += case.coefs[0].double() * (away if case.squares else away.sign())
                gradient[b, :, p] += case.dsums[g, label]
    return gradient.view(case.B, case.C, case.H, case.W)


def close(found: torch.Tensor, expected: torch.Tensor | float, tolerance: float, what: str) -> None:
    """Within ``tolerance`` of the largest value expected."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    limit = tolerance * float(expected.abs().max()) if expected.numel() else 0.0
    error = float((found.cpu().double() - expected).abs().max()) if expected.numel() else 0.0
    assert error <= limit + 1e-12, f"{what}: off by {error:.3g}, allowed {limit:.3g}"


def check(case: Case, device: str = "cpu") -> None:
    from classaware.regularization.fused_triton import class_sums, gradient_pass, pixel_pass

    half = case.dtype == torch.bfloat16
    x, y, mu, live = case.x.to(device), case.y.to(device), case.mu.to(device), case.live_0.to(device)
    for per_image in (False, True):
        close(class_sums(x, y, case.K, per_image), reference_sums(case, per_image), 1e-6, "class_sums")
    softmax = (t.to(device) for t in (case.ideal, case.part, case.rest, case.share))
    options = {"scale": case.scale, "squares": case.squares, "count_unlabelled": case.count_unlabelled}
    totals, slope = pixel_pass(x, y, mu, *softmax, live, **options)
    distances, terms, slopes, largest = reference_pixels(case)
    assert totals.shape == (2,)
    assert slope.shape == (case.B, case.H * case.W, case.K)
    assert slope.dtype == (torch.bfloat16 if half else torch.float32)
    # What rounding does to a logit in float32 it does to the attention: the more, the larger the logit.
    rounding = 1e-6 * max(1.0, largest / 4)
    close(totals[0], distances, 1e-6, "distances")
    close(totals[1], terms, 1e-4 if case.dtype == torch.bfloat16 else rounding, "terms")
    close(slope[..., : case.live], slopes, 1e-2 if half else 10 * rounding, "slope")
    slope[..., case.live :] = math.nan  # never read
    dsums, coefs = case.dsums.to(device), case.coefs.to(device)
    found = gradient_pass(x, y, mu, slope, dsums, coefs, live, squares=case.squares)
    assert found.dtype == case.dtype
    assert found.stride() == case.x.stride()
    expected = reference_gradient(case, slope[..., : case.live].cpu().double())
    close(found, expected, {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-2}[case.dtype], "gradient")


def compile_all(dtype: str, layout: str, K: int, C: int = 512) -> None:
    """Compile every kernel as the three passes launch it on 4 x 65 x 65 pixels, and print what the code takes."""
    from triton import compile as compile_
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.runtime.jit import JITFunction

    from classaware.regularization import fused_triton

    names = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32"}

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        """Instead of a launch; 16 divides addresses, as with every tensor of torch's allocator."""
        options = {name: kwargs.pop(name) for name in ("num_warps", "num_stages") if name in kwargs}
        signature: dict[str, str] = {}
        constants: dict[str, Any] = {}
        divisible: dict[tuple[int, ...], Any] = {}
        values = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
        for i, name in enumerate(kernel.arg_names):
            value = values[name]
            if isinstance(value, torch.Tensor):
                signature[name] = names.get(value.dtype, "*i1")
            elif isinstance(value, float):
                signature[name] = "fp32"
            elif (name.isupper() and len(name) > 1) or value == 1:
                signature[name], constants[name] = "constexpr", value
            else:
                signature[name] = "i32"
            if isinstance(value, torch.Tensor) or (signature[name] == "i32" and value % 16 == 0):
                divisible[(i,)] = [["tt.divisibility", 16]]
        source = ASTSource(kernel, signature, constants, divisible)
        code = compile_(source, target=GPUTarget("cuda", 90, 32), options=options)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(code.asm["cubin"])
            file.flush()
            command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
            usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = [int(re.search(rf"{what}:(\d+)", usage)[1]) for what in ("REG", "STACK")]  # type: ignore[index]
        shared = code.metadata.shared
        print(dtype, layout, K, C, source.name, "registers", found[0], "stack", found[1], "shared", shared, flush=True)

    JITFunction.run = run  # type: ignore[method-assign]
    form = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}[layout]
    x = torch.empty((4, C, 65, 65), dtype=getattr(torch, dtype), device="meta").contiguous(memory_format=form)
    y, mu = x.new_empty((4, 65 * 65), dtype=torch.int32), x.new_empty((1, K, C), dtype=torch.float32)
    row, one = mu[..., 0], mu[:, 0, 0]
    live = y[0, 0]
    fused_triton.class_sums(x, y, K, False)
    options = {"scale": 0.5, "squares": False, "count_unlabelled": True}
    _, slope = fused_triton.pixel_pass(x, y, mu, row, row.bool(), one, one, live, **options)
    fused_triton.gradient_pass(x, y, mu, slope, mu, mu[0, 0, :2], live, squares=False)


def script(*arguments: object, interpret: bool) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


@pytest.mark.parametrize("share", range(SHARES))
def test_passes_agree_with_loops(share: int) -> None:
    pytest.importorskip("triton")
    assert script("check", share, interpret=True).count("agrees") == SEEDS // SHARES


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("share", range(SHARES))
def test_passes_agree_with_loops_on_a_gpu(share: int) -> None:
    assert script("check", share, "cuda", interpret=False).count("agrees") == SEEDS // SHARES


@pytest.mark.parametrize(("dtype", "layout", "K"), [("float32", "nchw", 59), ("float32", "nhwc", 847)])
def test_machine_code_neither_spills_nor_needs_too_much_shared_memory(dtype: str, layout: str, K: int) -> None:
    pytest.importorskip("triton")
    lines = [line.split() for line in script("compile", dtype, layout, K, interpret=False).splitlines()]
    assert len(lines) == (3 if K <= 64 else 4)
    for _, _, _, _, name, _, _, _, stack, _, shared in lines:
        assert int(stack) == 0, name  # where spilled registers go
        assert int(shared) <= 227 * 1024, name


if __name__ == "__main__":
    if sys.argv[1] == "compile":
        compile_all(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
    for seed in range(int(sys.argv[2]), SEEDS, SHARES) if sys.argv[1] == "check" else ():
        try:
            check(Case(seed), *sys.argv[3:])
        except Exception:
            print(Case(seed))
            raise
        print(seed, "agrees")
