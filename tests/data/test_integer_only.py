"""The drawing promises the same pixels on every platform: no float anywhere, and the published random numbers."""

import ast
from pathlib import Path

import numpy as np
import pytest

from classaware.data import hashing, scenes
from classaware.data.hashing import Stream, mix, mix_array
from classaware.data.scenes import draw_scene, sine, value_noise

# Vigna's splitmix64.c, seed 1234567; each output is that of the state, and the state goes on by the golden ratio.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
STEP = 0x9E3779B97F4A7C15


def test_mix_gives_the_published_sequence_of_splitmix64() -> None:
    states = [(1234567 + i * STEP) % 2**64 for i in range(5)]
    assert [mix(state) for state in states] == PUBLISHED
    assert mix_array(np.array(states, dtype=np.uint64)).tolist() == PUBLISHED


def floats_in(tree: ast.AST) -> list[str]:
    """Whatever could bring a float into the arithmetic: division, constants, functions, types."""
    names = {"float", "float32", "float64", "sin", "cos", "exp", "log", "sqrt", "power", "mean", "random", "linspace"}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"division in line {node.lineno}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{node.value} in line {node.lineno}")
        elif isinstance(node, ast.Attribute) and node.attr in names:
            found.append(f"{node.attr} in line {node.lineno}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            found.append(f"{node.func.id}() in line {node.lineno}")
    return found


@pytest.mark.parametrize("module", [hashing, scenes])
def test_no_float_in_the_source(module: object) -> None:
    source = Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]
    assert floats_in(ast.parse(source)) == []


def test_the_search_for_floats_finds_them() -> None:
    assert (
        len(floats_in(ast.parse("a = b / 2\na /= 3\nc = 0.5\nd = np.sin(c)\ne = float(d)\nf = x.astype(np.float32)")))
        == 6
    )


def test_types_of_what_is_drawn() -> None:
    scene = draw_scene((0,), 40, 950, 96)
    assert scene.image.dtype == scene.label.dtype == np.uint8
    assert scene.image.shape == (40, 40, 3)
    noise = value_noise(Stream(1), 9, 11, 3, 4)
    assert noise.dtype == sine(noise).dtype == np.int32
    assert noise.shape == (9, 11)
    assert noise.min() >= -128
    assert noise.max() <= 127


def test_noise_is_the_bilinear_mean_of_its_lattice() -> None:
    """On the lattice its values, between two of them what lies between."""
    noise = value_noise(Stream(7), 33, 33, 8, 8)
    assert len(np.unique(noise[::8, ::8])) > 15
    for k in range(0, 32, 8):
        low, high = np.minimum(noise[k], noise[k + 8]), np.maximum(noise[k], noise[k + 8])
        assert ((noise[k : k + 9] >= low - 1) & (noise[k : k + 9] <= high + 1)).all()


def test_the_table_holds_the_sine() -> None:
    exact = 256 * np.sin(2 * np.pi * np.arange(-64, 128) / 64)
    assert np.abs(sine(np.arange(-64, 128, dtype=np.int32)) - exact).max() <= 0.5
