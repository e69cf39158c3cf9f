"""What training ends in: a Hugging Face folder and result.json, which is written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from firn.core.errors import FormatError
from firn.core.files import atomic_write
from firn.core.hashing import fingerprint

_FORMAT = 2


@dataclass(frozen=True)
class TrainResult:
    """A finished run of training.

    steps, tokens (targets), parameters, flops (6 N per token and attention, all steps): what went in. loss: nats per
    target, mean over the last twentieth of the steps. validation: source -> what was measured over all held-out text
    (`bits_per_byte`, or an encoder's `hidden_tokens`). samples: prompt and completion. weights: SHA-256 over names
    and values of all parameters; equal for equal runs on one machine. files: name -> SHA-256 of what is in model/.
    bad: updates left out. rewinds: times that
    training went back, and the windows left out since. runtime, seconds: how and how long it was computed.
    """

    steps: int
    tokens: int
    parameters: int
    flops: float
    loss: float
    validation: dict[str, dict[str, float]]
    samples: list[dict[str, str]]
    weights: str
    files: dict[str, str]
    bad: list[dict[str, Any]]
    rewinds: list[dict[str, Any]]
    runtime: dict[str, Any]
    seconds: float

    def write(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Write result.json: the run is then finished."""
        body = {"format": _FORMAT, "identity": fingerprint(identity), **asdict(self)}
        atomic_write(folder / "result.json", (json.dumps(body, indent=1) + "\n").encode())

    @classmethod
    def read(cls, folder: Path, identity: Mapping[str, Any] | None = None) -> TrainResult | None:
        """The result in `folder`; None where there is none or one of another identity. FormatError where it is torn."""
        path = folder / "result.json"
        if not path.exists():
            return None
        try:
            body = json.loads(path.read_bytes())
            of = body.pop("identity")
            if body.pop("format") != _FORMAT or (identity is not None and of != fingerprint(identity)):
                return None
            return cls(**body)
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"is not a result: {error}", where=str(path), mend="delete it and run again") from error

    def is_whole(self, folder: Path) -> bool:
        """Whether every file of model/ is there with its content."""
        return all(file_hash(folder / "model" / name) == value for name, value in self.files.items())


def file_hash(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every parameter, in the order of names."""
    state = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        state.update(f"{name} {parameter.dtype} {list(parameter.shape)}\n".encode())
        state.update(parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
