"""Tokens of a transformer as maps."""

from torch import Tensor


def tokens_to_maps(x_BNC: Tensor, prefix_tokens: int, grid: tuple[int, int] | None, size: tuple[int, int]) -> Tensor:
    """Tokens, row by row, to maps.

    Args:
        x_BNC: (B, N, C), any dtype.
        prefix_tokens: how many of the first tokens stand for no place in the image (class token, registers).
        grid: (h, w) of the other tokens; None: as the sides of ``size`` have it.
        size: (height, width) of the images, or of their labels.

    Returns:
        (B, C, h, w), a view.

    Raises:
        ValueError: the tokens fill no such grid.
    """
    count = x_BNC.shape[1] - prefix_tokens
    given = f"{x_BNC.shape[1]} tokens" + (f" less {prefix_tokens} of no place" if prefix_tokens else "")
    if grid is None:
        grid = token_grid(count, size)
        if grid is None:
            raise ValueError(
                f"{given} fill no grid with the sides' ratio of {size[0]} x {size[1]}: give grid=(rows, columns), and "
                "prefix_tokens where the first tokens are a class token or registers."
            )
    elif grid[0] * grid[1] != count:
        raise ValueError(f"{given} do not fill grid={tuple(grid)}: correct grid or prefix_tokens.")
    return x_BNC[:, prefix_tokens:].unflatten(1, grid).permute(0, 3, 1, 2)


def token_grid(count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of ``count`` tokens over an image of ``size``, less than one token off its ratio of sides."""
    height, width = size
    fitting = [
        (rows, count // rows)
        for rows in range(1, count + 1)
        if count % rows == 0 and abs(rows * width - count // rows * height) < max(height, width)
    ]
    return min(fitting, key=lambda grid: abs(grid[0] * width - grid[1] * height), default=None)
