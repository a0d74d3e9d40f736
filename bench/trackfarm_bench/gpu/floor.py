"""Lower bound of a track's computing time: its floating-point operations at the full rate of the
device, counting windowed attention and the decoder's convolutions, and nothing else."""

import time
from bisect import bisect_left

import torch

from trackfarm_worker.models.bench_models import Size

# Tera floating-point operations of one denoising step of one track, by seconds of audio, counted
# with torch's FlopCounterMode on the published configurations.
SECONDS = (10, 30, 60, 120, 240, 480, 600)
STEP_TFLOP = {
    "std": (0.403, 1.14, 2.33, 4.69, 9.74, 21.2, 27.5),
    "xl": (1.07, 3.10, 6.35, 12.9, 26.7, 58.1, 75.5),
}
DECODE_TFLOP_PER_SECOND = 0.1219
MATRIX = 8192
ROUNDS = 20


def track_tflop(size: Size, duration: float, *, steps: int, guided: bool) -> float:
    """Return the operations of one track in 10^12; linear between two lengths."""
    at = min(max(bisect_left(SECONDS, duration), 1), len(SECONDS) - 1)
    x0, x1 = SECONDS[at - 1], SECONDS[at]
    y0, y1 = STEP_TFLOP[size][at - 1], STEP_TFLOP[size][at]
    step = y0 + (y1 - y0) * (duration - x0) / (x1 - x0)
    return step * steps * (2 if guided else 1) + DECODE_TFLOP_PER_SECOND * duration


def matmul_tflops(device: str, dtype: torch.dtype) -> float:
    """Return the rate of the device on large square matrices, in 10^12 operations a second. It is
    the rate for the bound, measured in the same run."""
    side = MATRIX if device == "cuda" else MATRIX // 16
    a, b = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
    best = min(_seconds(a, b, device) for _ in range(3))
    return 2 * side**3 * ROUNDS / best / 1e12


def _seconds(a: torch.Tensor, b: torch.Tensor, device: str) -> float:
    _wait_for(device)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        a @ b
    _wait_for(device)
    return time.perf_counter() - began


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
