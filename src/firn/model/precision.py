"""In which dtype matrices are multiplied. Decided by capability, never by timing, so that it is the same every time."""

from __future__ import annotations

import torch


def native_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if kind == "cpu":
        # Private in torch, and not there in every build: where one is missing, bf16 counts as not native.
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(check() for name in checks if (check := getattr(torch.cpu, name, None)) is not None)
    return False


def compute_dtype(choice: str, device: torch.device | str) -> torch.dtype:
    """The dtype for `auto`, `fp32` or `bf16`. Raises KeyError for another word."""
    if choice == "auto":
        choice = "bf16" if native_bf16(device) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[choice]
