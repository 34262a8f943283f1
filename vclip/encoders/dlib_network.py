"""dlib's face-recognition ResNet (King, 2017; `dnn_face_recognition_ex.cpp`) in torch, with dlib's weights.

dlib's packages are built without a matrix library: their network takes 56 ms an image on a core, this one 4.
The vectors are equal to 1e-5 (tested).
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from vclip.errors import InputError

# Of the images, RGB (`input_rgb_image_sized`).
MEAN, SCALE = (122.782, 117.001, 104.298), 256
# Width and number of the blocks of each stage; the first block of all stages but the first halves the image.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))


class Block(nn.Module):
    """Two convolutions of 3x3 beside the input, which is averaged where the block halves the image."""

    def __init__(self, channels: int, width: int, halves: bool):
        super().__init__()
        stride, pad = (2, 0) if halves else (1, 1)  # dlib pads only where the stride is 1
        self.first = nn.Conv2d(channels, width, 3, stride, pad)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        beside = nn.functional.avg_pool2d(x, 2) if self.halves else x
        y = torch.relu(self.first(x))
        return torch.relu(_sum(self.second(y), beside))


class DlibNetwork(nn.Module):
    """The ResNet with 29 layers, from chips of 150x150 pixels to vectors of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks, channels = [], 32
        for stage, (width, count) in enumerate(STAGES):
            for i in range(count):
                blocks.append(Block(channels, width, halves=stage > 0 and i == 0))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(256, 128, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        """Returns vectors (n, 128) of chips (n, 3, 150, 150), RGB 0..255; float32."""
        x = (chips - torch.tensor(MEAN, device=chips.device)[:, None, None]) / SCALE
        x = torch.relu(self.stem(x))
        x = self.blocks(nn.functional.max_pool2d(x, 3, 2))
        return self.linear(x.mean((2, 3)))


def load_network(path: str | Path) -> DlibNetwork:
    """Returns the network with the weights of `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        InputError: the file holds other layers.
    """
    network, file, offset = DlibNetwork(), Path(path).read_bytes(), 0

    def read(rows: int, columns: int = 1) -> Tensor:
        nonlocal offset
        values, offset = _next_tensor(file, offset, (rows, columns))
        if values is None:
            raise InputError(f"face encoder 'dlib': {path}: found other layers than those of dlib's ResNet")
        return values

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            count = len(layer.bias)
            weight, bias = read(layer.weight.numel() + count)[:, 0].split([layer.weight.numel(), count])
            # Batch normalisation after training: a factor and a constant for each channel, which the layer takes in.
            gamma, beta = read(2 * count)[:, 0].split(count)
            layer.weight.data.copy_(weight.view_as(layer.weight) * gamma[:, None, None, None])
            layer.bias.data.copy_(bias * gamma + beta)
        elif isinstance(layer, nn.Linear):  # a row for each input, the other way round in torch
            layer.weight.data.copy_(read(*layer.weight.T.shape).T)
    return network.to(memory_format=cast(Any, torch.channels_last)).eval().requires_grad_(False)


def _next_tensor(file: bytes, offset: int, shape: tuple[int, ...]) -> tuple[Tensor | None, int]:
    """Returns the next tensor (rows, columns) of these sides in a file of dlib, and where it ends.

    The layers are in order, with much in between. A tensor is written as the version 2, its four sides as integers
    (the length in bytes, then the bytes) and float32, all little-endian.
    """
    head = b"".join(map(_integer, (2, *shape, 1, 1)))
    offset, count = file.find(head, offset), shape[0] * shape[1]
    if offset < 0 or len(file) < offset + len(head) + 4 * count:
        return None, offset
    offset += len(head)
    values = np.frombuffer(file, "<f4", count, offset).astype(np.float32).reshape(shape)
    return torch.from_numpy(values), offset + 4 * count


def _integer(value: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes([len(digits)]) + digits


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """Returns the sum of two maps; what one of them lacks of channels, rows or columns is zero, as in dlib."""
    shape = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
    x, y = (
        nn.functional.pad(z, [edge for axis in (3, 2, 1) for edge in (0, shape[axis - 1] - z.shape[axis])])
        for z in (x, y)
    )
    return x + y
