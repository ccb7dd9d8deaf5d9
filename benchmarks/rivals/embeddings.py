"""Rows and bags of an embedding table as torch and NumPy compute them, and what memory gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.arrays import float32_to_bf16

Call = Callable[[np.ndarray], np.ndarray]


def numpy_rows(table: np.ndarray, count: int) -> Call:
    """`numpy.take` into an array that is there; without it a page fault for every 4 kB."""
    out = np.empty((count, table.shape[1]), table.dtype)
    return lambda ids: np.take(table, ids, axis=0, out=out, mode="clip")


def numpy_copies(nbytes: int, count: int) -> Callable[[], np.ndarray]:
    """Copies of `nbytes` from one of `count` places to another, the next with every call."""
    source, target = (np.full((count, nbytes // 4), x, np.float32) for x in (1, 0))
    at = -1

    def run() -> np.ndarray:
        nonlocal at
        at = (at + 1) % count
        np.copyto(target[at], source[at])
        return target[at]

    return run


def torch_copies(nbytes: int, count: int, threads: int) -> Callable[[], np.ndarray]:
    """The same by torch, on several threads."""
    import torch

    torch.set_num_threads(threads)
    source, target = torch.ones(count, nbytes // 4), torch.zeros(count, nbytes // 4)
    at = -1

    def run() -> np.ndarray:
        nonlocal at
        at = (at + 1) % count
        return target[at].copy_(source[at]).numpy()

    return run


class TorchTable:
    """A table in torch, float32 or one of its own types, that shares the memory of `table`."""

    def __init__(self, table: np.ndarray, format: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.format = torch, format
        if format == "int8":
            prepack = torch.ops.quantized.embedding_bag_byte_prepack
            self.table = prepack(torch.from_numpy(table))
        elif format == "int4":
            prepack = torch.ops.quantized.embedding_bag_4bit_prepack
            self.table = prepack(torch.from_numpy(table))
        elif format == "bf16":
            self.table = torch.from_numpy(float32_to_bf16(table)).view(torch.bfloat16)
        else:
            self.table = torch.from_numpy(table)
            self.table = self.table.half() if format == "fp16" else self.table

    def values(self, ids: np.ndarray) -> np.ndarray:
        """The rows that are stored, as float32: bags of one."""
        return self.bags(np.arange(len(ids) + 1))(ids).astype(np.float32)

    def rows(self) -> Call:
        """`torch.nn.functional.embedding`; its result has the table's type."""
        look_up = self.torch.nn.functional.embedding

        def run(ids: np.ndarray) -> np.ndarray:
            with self.torch.inference_mode():
                return _as_numpy(look_up(self.torch.from_numpy(ids), self.table))

        return run

    def bags(self, indptr: np.ndarray) -> Call:
        """Sums by `torch.nn.functional.embedding_bag`, or by torch's own rows of few bits."""
        bounds, torch = self.torch.from_numpy(indptr), self.torch
        if self.format in ("int8", "int4"):
            name = {"int8": "byte", "int4": "4bit"}[self.format]
            function = getattr(torch.ops.quantized, f"embedding_bag_{name}_rowwise_offsets")

            def bag(ids: np.ndarray) -> np.ndarray:
                return function(self.table, ids, bounds, include_last_offset=True)
        else:
            function = torch.nn.functional.embedding_bag

            def bag(ids: np.ndarray) -> np.ndarray:
                return function(ids, self.table, bounds, mode="sum", include_last_offset=True)

        def run(ids: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return _as_numpy(bag(torch.from_numpy(ids)))

        return run


def _as_numpy(tensor: object) -> np.ndarray:
    return tensor.float().numpy()
