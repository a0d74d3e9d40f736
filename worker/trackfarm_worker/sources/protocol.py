"""Protocol of the source process: one JSON object each way.

No pydantic here nor in the modules that the source process imports: it starts once per source.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trackfarm.net.ssrf import EgressPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """Limits in bytes and seconds. `audio_seconds` is ACE-Step's longest track; `cpu_seconds` is
    eight times the measured time for 600 s of the most expensive format (192 kHz FLAC, 24 bit),
    `memory_bytes` (the process's address space) four times the largest need of any format."""

    max_bytes: int = 100_000_000
    max_redirects: int = 5
    connect_seconds: float = 10.0
    silent_seconds: float = 15.0
    fetch_seconds: float = 120.0
    audio_seconds: float = 600.0
    decode_seconds: float = 90.0
    cpu_seconds: int = 60
    memory_bytes: int = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOrder:
    """Request to the source process. `download` and `target` are the files to write; `sha256` is
    set for uploads. `is_signed`: a time-limited URL of our own object store; any other URL must
    comply with `policy`. `ca_file` (PEM) is trusted in addition to the public CAs, unless empty.
    `parent`: the requesting process; the source process exits with it."""

    url: str
    download: Path
    target: Path
    sha256: str | None = None
    is_signed: bool = False
    ca_file: str = ""
    limits: SourceLimits = field(default_factory=SourceLimits)
    policy: EgressPolicy = field(default_factory=EgressPolicy)
    parent: int = field(default_factory=os.getpid)


@dataclass(frozen=True, slots=True)
class PreparedSource:
    """Decoded source, ready for the engine: float32 `.npy` of shape (`frames`, 2) at 48 kHz."""

    path: Path
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / 48_000


@dataclass(frozen=True, slots=True)
class SourceRefused:
    """Permanent failure: neither a retry nor another worker would help."""

    message: str


@dataclass(frozen=True, slots=True)
class SourceUnavailable:
    """Temporary failure, worth a retry and not the track's fault."""

    message: str
    is_disk_full: bool = False


SourceResult = PreparedSource | SourceRefused | SourceUnavailable


def order_line(order: SourceOrder) -> str:
    """Return one line of JSON."""
    return json.dumps(asdict(order), default=str)


def read_order(text: str) -> SourceOrder:
    fields = json.loads(text)
    limits = SourceLimits(**fields.pop("limits"))
    download, target = Path(fields.pop("download")), Path(fields.pop("target"))
    policy = EgressPolicy(**{name: tuple(values) for name, values in fields.pop("policy").items()})
    return SourceOrder(download=download, target=target, limits=limits, policy=policy, **fields)


def result_line(result: SourceResult) -> str:
    """Return one line of JSON."""
    return json.dumps({"type": type(result).__name__, **asdict(result)}, default=str)


def read_result(text: str) -> SourceResult:
    """Parse a result. Raises ValueError if the text is none."""
    fields: dict[str, Any] = json.loads(text)
    match fields:
        case {"type": "PreparedSource", "path": str(path), "frames": int(frames)}:
            return PreparedSource(Path(path), frames)
        case {"type": "SourceRefused", "message": str(message)}:
            return SourceRefused(message)
        case {"type": "SourceUnavailable", "message": str(message), "is_disk_full": bool(full)}:
            return SourceUnavailable(message, full)
        case _:
            raise ValueError(f"not a result: {text[:200]!r}")
