"""How a run computes: device, precision, threads. Chosen once, recorded in every checkpoint, kept on resume."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

from firn.core.errors import ResumeError
from firn.core.memory import freed_memory_kept
from firn.model.precision import DTYPES, Precision, resolve


@dataclass(frozen=True)
class Runtime:
    """What the bits of the weights depend on besides settings and data.

    device: `cpu`, `cuda` or `mps`. name: the device's own name. precision: of the matrix products. threads: on CPU.
    compile: whether the model's blocks are compiled.
    """

    device: Literal["cpu", "cuda", "mps"]
    name: str
    precision: Precision
    threads: int
    library: str
    compile: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type that matrix products are computed in."""
        return DTYPES[self.precision]

    def to_json(self) -> dict[str, Any]:
        """As a checkpoint records it."""
        return asdict(self)


def choose(precision: Precision | Literal["auto"], device: str | None = None) -> Runtime:
    """The runtime for this machine, uncompiled: the given device, else CUDA, MPS, CPU in this order.

    Raises RecipeError where the device does not compute in this precision.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind: Any = torch.device(device).type
    return Runtime(kind, device_name(kind), resolve(precision, kind), torch.get_num_threads(), torch.__version__)


def resume(saved: Mapping[str, Any], device: str | None = None) -> tuple[Runtime, str | None]:
    """The runtime of a checkpoint, and a warning where this machine will not compute the same bits.

    Raises ResumeError where the checkpoint's kind of device is not here.
    """
    runtime = Runtime(**saved)
    if not _is_available(device or runtime.device):
        raise ResumeError(
            f"the run began on {runtime.device}, which this machine has not",
            key="device",
            mend="go on where it began, or name the device to go on with",
        )
    here = choose(runtime.precision, device or runtime.device)
    differing = [
        f"{key} {was} -> {now}"
        for key, was, now in (
            ("device", runtime.name, here.name),
            ("torch", runtime.library, here.library),
        )
        if was != now
    ]
    warning = f"the run goes on, but not bit for bit: {', '.join(differing)}" if differing else None
    return replace(here, threads=runtime.threads, compile=runtime.compile), warning


def device_name(device: str) -> str:
    """The name that the device's driver gives; of a CPU, its architecture and vector unit."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "cpu":
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.machine()} {device}"


@contextmanager
def settled(runtime: Runtime) -> Iterator[None]:
    """Within it torch uses the runtime's threads and deterministic kernels, and memory that one step leaves stays for
    the next; afterwards it is as before."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.set_num_threads(runtime.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        with freed_memory_kept():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _is_available(device: str) -> bool:
    return {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }[device]
