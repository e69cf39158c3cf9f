"""Checkpoints: a folder per step, valid only once its manifest is there, which is written last and hashes every file.

    checkpoints/step-00000100/model-<attempt>.safetensors      weights, by parameter name
    checkpoints/step-00000100/state-<attempt>.safetensors      optimizer state by parameter name, random states
    checkpoints/step-00000100/manifest.json                    step, settings, corpus, plan, how it was computed

Only tensors and JSON, never a pickle. Names are unique to an attempt, so a killed or zombie trainer leaves files that
no manifest names.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from firn.core.errors import FormatError, ResumeError
from firn.core.files import Files
from firn.core.hashing import fingerprint, hash_file
from firn.core.store import FileEntry, Manifest
from firn.train.optim import Optimizers

FORMAT_VERSION = 1
_FOLDER = "checkpoints"

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Position:
    """How far a run is, apart from its tensors.

    step: optimizer steps done, which is also the step whose batch comes next. seconds: spent in training so far.
    runtime: device, precision, threads and library, kept for the whole run. bad: steps that were left out because
    their loss or gradient was not finite. losses: nats per target of the last steps, for the final figure.
    """

    step: int
    seconds: float
    runtime: Mapping[str, Any]
    bad: tuple[Mapping[str, Any], ...] = ()
    losses: tuple[float, ...] = ()


class Checkpoints:
    """The checkpoints of one run.

    folder: the run's training folder. identity: JSON of all that the weights depend on (corpus, plan, model and
    training settings); a checkpoint of another identity is refused. keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], keep: int, warn: Callable[[str], None]):
        self._folder, self._identity, self._keep, self._warn = folder, identity, keep, warn
        self._files = Files(folder)

    def save(self, position: Position, model: nn.Module, optimizers: Optimizers) -> None:
        """Write one, then take away those beyond the newest `keep`."""
        state = {f"optimizer/{name}": tensor for name, tensor in optimizers.state()}
        state |= {f"random/{name}": tensor for name, tensor in _random_states().items()}
        folder, attempt = f"{_FOLDER}/step-{position.step:08d}", secrets.token_hex(6)
        entries = {
            name: self._write(f"{folder}/{name}-{attempt}.safetensors", tensors)
            for name, tensors in (("model", dict(model.named_parameters())), ("state", state))
        }
        manifest = Manifest(
            stage="checkpoint",
            version=FORMAT_VERSION,
            fingerprint=fingerprint(self._identity),
            label=f"step {position.step}",
            settings=self._identity,
            libraries={},
            inputs=[],
            files=entries,
            counts={},
            notes={
                "step": position.step,
                "runtime": position.runtime,
                "bad": list(position.bad),
                "losses": list(position.losses),
            },
            observed={"seconds": position.seconds},
        )
        self._files.replace(f"{folder}/manifest.json", manifest.to_json())
        self._prune()

    def newest(self) -> Manifest | None:
        """The newest whole checkpoint, None where there is none. A damaged one is passed over with a warning.

        Raises ResumeError where it belongs to another corpus, plan, model or settings.
        """
        for folder in self._folders(newest_first=True):
            file = folder / "manifest.json"
            if not file.exists():
                continue  # an attempt that was killed before it was whole
            manifest = Manifest.from_json(file.read_bytes())
            if manifest is None or (damaged := self._damaged(manifest)):
                what = "its manifest is torn" if manifest is None else f"{damaged} is not what was written"
                self._warn(f"checkpoint {folder.name} is damaged ({what}); going back to the one before it")
                continue
            self._check(manifest, folder)
            return manifest
        return None

    def load(self, manifest: Manifest, model: nn.Module, optimizers: Optimizers) -> Position:
        """Put the checkpoint's tensors into model and optimizers, set the random states, and say how far it is."""
        weights = load_file(self._path(manifest, "model"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        state = load_file(self._path(manifest, "state"))
        optimizers.load_state(_below("optimizer/", state))
        _set_random_states(_below("random/", state))
        notes = manifest.notes
        return Position(
            step=notes["step"],
            seconds=manifest.observed["seconds"],
            runtime=notes["runtime"],
            bad=tuple(notes["bad"]),
            losses=tuple(notes["losses"]),
        )

    def _write(self, name: str, tensors: Mapping[str, Tensor]) -> FileEntry:
        file = self._files.create(name)
        try:
            with io.BufferedWriter(file, buffer_size=1 << 20) as stream:
                write_tensors(stream, tensors)
        except BaseException:
            file.discard()
            self._files.remove(name)  # on a full disk, room for the next attempt
            raise
        return FileEntry(name, file.bytes, file.hash)

    def _path(self, manifest: Manifest, file: str) -> Path:
        return self._folder / manifest.files[file].path

    def _folders(self, newest_first: bool = False) -> Iterator[Path]:
        found = [path for path in self._folder.glob(f"{_FOLDER}/step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
        yield from sorted(found, key=lambda path: int(path.name[5:]), reverse=newest_first)

    def _damaged(self, manifest: Manifest) -> str | None:
        """The first file whose content is not what the manifest says."""
        for name, entry in sorted(manifest.files.items()):
            path = self._path(manifest, name)
            if not path.exists() or path.stat().st_size != entry.bytes:
                return path.name
            with path.open("rb") as stream:
                if hash_file(stream) != entry.hash:
                    return path.name
        return None

    def _check(self, manifest: Manifest, folder: Path) -> None:
        if manifest.version != FORMAT_VERSION:
            raise FormatError(
                f"the checkpoint has format {manifest.version}, this firn reads {FORMAT_VERSION}",
                where=str(folder),
                mend="use the version of firn that wrote it, or train in another folder",
            )
        saved, wanted = manifest.settings, json.loads(json.dumps(self._identity))
        if saved != wanted:
            key, before, now = _difference(saved, wanted)
            raise ResumeError(
                f"the checkpoint was made with {before}, this run has {now}",
                where=str(folder),
                key=key,
                mend="undo the change to go on with this run, or train in another folder",
            )

    def _prune(self) -> None:
        whole = [folder for folder in self._folders() if (folder / "manifest.json").exists()]
        oldest_kept = whole[-self._keep :][0]
        for folder in self._folders():
            if int(folder.name[5:]) < int(oldest_kept.name[5:]):
                # The manifest goes first: what is half removed is then no checkpoint.
                (folder / "manifest.json").unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)


def write_tensors(stream: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the safetensors format, one after the other, so that no second copy of them all exists.

    The format: 8 bytes little-endian length of the header, the header in JSON, the raw tensors.
    """
    # Widest types first, so that every tensor is aligned.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {}
    offset = 0
    for name, tensor in ordered:
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in ordered:
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        stream.write(plain.view(torch.uint8).numpy().data)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_states(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _difference(saved: Any, wanted: Any, key: str = "") -> tuple[str, str, str]:
    """The first key at which two JSON trees differ, and both values, as text."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for name in sorted(saved.keys() | wanted.keys()):
            if saved.get(name) != wanted.get(name):
                return _difference(saved.get(name), wanted.get(name), f"{key}.{name}" if key else name)
    return key, json.dumps(saved), json.dumps(wanted)
