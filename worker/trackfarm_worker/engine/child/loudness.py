"""Integrated loudness of ITU-R BS.1770-4, computed on the device of the audio."""

import math

import torch

FLOOR_LUFS = -70.0  # the absolute gate
RELATIVE_GATE_LU = -10.0
BLOCK_SECONDS = 0.4
STEPS_PER_BLOCK = 4  # blocks overlap by 75 %
OFFSET = -0.691
SPAN, LEAD = 1 << 17, 1 << 14  # samples per FFT, and samples until the filter settles


def loudness(audio: torch.Tensor, rate: int) -> float | None:
    """Return the LUFS of float32 audio (channels, samples), mono or stereo; None if it is shorter
    than one block, or if every block is below the absolute gate."""
    if audio.shape[1] < round(BLOCK_SECONDS * rate):
        return None
    power = _step_power(_weighted(audio, rate), rate)
    blocks = power.unfold(0, STEPS_PER_BLOCK, 1).mean(dim=1)
    loud = blocks[_lufs(blocks) > FLOOR_LUFS]
    if not len(loud):
        return None
    gate = _lufs(loud.mean()) + RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def _lufs(power: torch.Tensor) -> torch.Tensor:
    return OFFSET + 10.0 * torch.log10(power)


def _step_power(weighted: torch.Tensor, rate: int) -> torch.Tensor:
    """Return the mean squares, summed over channels, of each step of a block; an incomplete step is
    dropped.

    BS.1770 gives left and right the weight 1.
    """
    step = round(BLOCK_SECONDS / STEPS_PER_BLOCK * rate)
    complete = weighted.shape[1] // step * step
    steps = weighted[:, :complete].reshape(len(weighted), -1, step)
    power: torch.Tensor = steps.double().square().mean(dim=2).sum(dim=0)
    return power


def _weighted(audio: torch.Tensor, rate: int) -> torch.Tensor:
    """Apply K-weighting by overlap-save: the filter's response is below 1e-9 after LEAD samples."""
    fresh = SPAN - LEAD
    count = math.ceil(audio.shape[1] / fresh)
    padded = torch.nn.functional.pad(audio, (LEAD, count * fresh - audio.shape[1]))
    spans = torch.fft.rfft(padded.unfold(1, SPAN, fresh))
    response = _response(rate).to(audio.device, torch.complex64)
    filtered: torch.Tensor = torch.fft.irfft(spans * response, n=SPAN)[..., LEAD:]
    return filtered.reshape(len(audio), -1)[:, : audio.shape[1]]


def _response(rate: int) -> torch.Tensor:
    """Return the response of both stages at the frequencies of a real FFT of SPAN samples."""
    z = torch.exp(-2j * math.pi * torch.arange(SPAN // 2 + 1, dtype=torch.float64) / SPAN)
    response = torch.ones_like(z)
    for above, below in (_pre_filter(rate), _high_pass(rate)):
        top, bottom = (c[0] + c[1] * z + c[2] * z * z for c in (above, below))
        response = response * top / bottom
    return response


_Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def _pre_filter(rate: int) -> _Biquad:
    """Return the first stage, a high shelf: the analogue prototype behind the table of BS.1770 for
    48 kHz."""
    frequency, gain, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k, high = math.tan(math.pi * frequency / rate), 10 ** (gain / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / quality + k * k
    b = (high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k)
    return (b[0] / a0, b[1] / a0, b[2] / a0), _poles(k, quality)


def _high_pass(rate: int) -> _Biquad:
    """Return the second stage; its numerator is not normalised, as in the table."""
    frequency, quality = 38.13547087602444, 0.5003270373238773
    return (1.0, -2.0, 1.0), _poles(math.tan(math.pi * frequency / rate), quality)


def _poles(k: float, quality: float) -> tuple[float, float, float]:
    a0 = 1 + k / quality + k * k
    return 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0
