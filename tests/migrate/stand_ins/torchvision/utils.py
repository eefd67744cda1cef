"""Images to files."""

from __future__ import annotations

import torch


def make_grid(images: torch.Tensor, nrow: int = 8, normalize: bool = False) -> torch.Tensor:
    """The images side by side, ``nrow`` in a row; colours, height, width."""
    images = images.cpu().float()
    if normalize:
        images = (images - images.min()) / (images.max() - images.min()).clamp(min=1e-5)
    rows = [torch.cat(list(images[i:i + nrow]), 2) for i in range(0, len(images), nrow)]
    widest = max(row.size(2) for row in rows)
    rows = [torch.nn.functional.pad(row, (0, widest - row.size(2))) for row in rows]
    return torch.cat(rows, 1).expand(3, -1, -1)


def save_image(images, file: str, nrow: int = 8, normalize: bool = False) -> None:
    """Writes them as a portable pixmap, whatever the file's name says."""
    grid = (make_grid(images, nrow, normalize).clamp(0, 1) * 255).byte().permute(1, 2, 0)
    with open(file, "wb") as out:
        out.write(f"P6 {grid.size(1)} {grid.size(0)} 255\n".encode())
        out.write(grid.contiguous().numpy().tobytes())
