"""Peak rates of accelerators, as their makers publish them: dense 16-bit matrix FLOP/s with fp32 accumulation.

A device that is not in the table has no peak: MFU is then "unknown", never a made-up percentage.
"""

from __future__ import annotations

#: Substring of the device's name (upper case) -> dense FLOP/s. Longer names stand first, since the first match counts.
#: Makers often print the rate with structured sparsity, which is twice the dense one given here.
PEAKS: tuple[tuple[str, float], ...] = (
    ("H100 PCIE", 756e12),  # NVIDIA H100 datasheet
    ("H100 NVL", 835e12),  # NVIDIA H100 datasheet
    ("H100", 989e12),  # NVIDIA H100 datasheet, SXM
    ("H200", 989e12),  # NVIDIA H200 datasheet: the H100's compute with more memory
    ("H800", 989e12),  # as the H100
    ("GB200", 2500e12),  # NVIDIA GB200 datasheet, per GPU
    ("B200", 2250e12),  # NVIDIA HGX B200 datasheet
    ("A100", 312e12),  # NVIDIA A100 datasheet
    ("A800", 312e12),  # as the A100
    ("A10G", 70e12),  # AWS's own variant of the A10
    ("A10", 125e12),  # NVIDIA A10 datasheet
    ("L40S", 362e12),  # NVIDIA L40S datasheet
    ("L4", 121e12),  # NVIDIA L4 datasheet
    ("V100", 125e12),  # NVIDIA V100 datasheet, fp16
    ("T4", 65e12),  # NVIDIA T4 datasheet, fp16
    ("RTX 5090", 209.5e12),  # NVIDIA Blackwell RTX white paper
    ("RTX 4090", 165.2e12),  # NVIDIA Ada white paper
    ("RTX 3090", 71e12),  # NVIDIA Ampere GA102 white paper
    ("MI300X", 1307e12),  # AMD Instinct MI300X data sheet
    ("MI325X", 1307e12),  # AMD Instinct MI325X data sheet
    ("MI250X", 383e12),  # AMD Instinct MI250X data sheet
)


def peak_flops(device_name: str) -> float | None:
    """Dense 16-bit FLOP/s of a device by the name its driver gives; None where it is not in the table."""
    words = f" {device_name.upper().replace('-', ' ')} "
    return next((peak for name, peak in PEAKS if f" {name} " in words), None)


def mfu(flops_per_token: float, tokens_per_second: float, device_name: str) -> float | None:
    """Model FLOPs utilisation (Chowdhery et al. 2022, appendix B), a share of 1; None where the peak is unknown."""
    peak = peak_flops(device_name)
    return None if peak is None else flops_per_token * tokens_per_second / peak
