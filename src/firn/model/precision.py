"""In which dtype matrices are multiplied. Decided by capability, never by timing, so that it is the same every time."""

from __future__ import annotations

from typing import Literal

import torch

from firn.core.errors import RecipeError

Precision = Literal["fp32", "bf16", "fp16", "fp8"]

#: Of activations: in fp8 they are bf16 between the products.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}


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


def native_fp8(device: torch.device | str) -> bool:
    """Whether the device multiplies 8-bit floats in hardware: NVIDIA's Ada (8.9), Hopper (9.0) and later."""
    return torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def resolve(choice: Precision | Literal["auto"], device: torch.device | str) -> Precision:
    """The precision for `auto`: bf16 where that is native, else fp32. Raises RecipeError where there is no fp8."""
    if choice == "auto":
        return "bf16" if native_bf16(device) else "fp32"
    if choice == "fp8" and not native_fp8(device):
        raise RecipeError(
            "fp8 needs an NVIDIA GPU of compute capability 8.9 or later (Ada, Hopper, Blackwell); this run is on "
            f"{torch.device(device).type}",
            key="train.precision",
            mend="set train.precision=bf16, or train on such a GPU",
        )
    return choice
