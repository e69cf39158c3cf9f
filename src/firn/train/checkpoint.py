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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import Tensor, nn

from firn.core.errors import FirnError, FormatError, ResumeError
from firn.core.files import Files, store_error
from firn.core.hashing import fingerprint, hash_file
from firn.core.store import FileEntry, Manifest
from firn.model.tensor_files import TensorFile
from firn.tokens.batch import Skip
from firn.train.guard import Good

FORMAT_VERSION = 2
_FOLDER = "checkpoints"
#: What a manifest notes of a position.
_NOTED = ("step", "runtime", "bad", "losses", "recent", "rewinds")
#: Checkpoints that the guard may need: it goes back up to one and a half times their distance.
_REWINDABLE = 3

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
    hours: by the clock on the wall, so far. runtime: device, precision, threads and library, kept for the whole run.
    bad: steps whose updates were left out. losses: nats per target of the last steps, for the final figure. recent:
    what the guard judges the next steps by. rewinds: each time that training went back.
    """

    step: int
    seconds: float
    runtime: Mapping[str, Any]
    hours: float = 0.0
    bad: tuple[Mapping[str, Any], ...] = ()
    losses: tuple[float, ...] = ()
    recent: tuple[Good, ...] = ()
    rewinds: tuple[Mapping[str, Any], ...] = ()

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """Windows that are left out from here on."""
        return tuple(Skip(*skip) for skip in self.rewinds[-1]["skipped"]) if self.rewinds else ()


class Stateful(Protocol):
    """What keeps tensors between steps: the optimizers, the scale of the loss."""

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""


class Checkpoints:
    """The checkpoints of one run; used in `with`, whose end waits for the last of them.

    A checkpoint is copied to the host's memory at its step and written by a thread while training goes on; the next one
    waits for it. folder: the run's training folder. identity: JSON of all that the weights depend on (corpus, plan,
    model and training settings); a checkpoint of another identity is refused. keep: how many of the newest stay.
    keep_every: those after a multiple of so many steps stay for good. keep_best: whether the one of the lowest held-out
    figure stays. guard_every: the newest three after a multiple of so many steps stay, for the guard to go back to.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        warn: Callable[[str], None],
        *,
        keep: int,
        keep_every: int | None = None,
        keep_best: bool = False,
        guard_every: int = 0,
    ):
        self._folder, self._identity, self._warn = folder, identity, warn
        self._keep, self._keep_every, self._keep_best, self._guard_every = keep, keep_every, keep_best, guard_every
        self._files = Files(folder)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.wait()
        except FirnError:
            if kind is None:  # else what ended the run first is what is told
                raise
        finally:
            self._writer.shutdown()

    def save(
        self, position: Position, model: nn.Module, parts: Mapping[str, Stateful], held_out: float | None = None
    ) -> None:
        """Copy everything, and let it be written. held_out: a figure of this step, lower is better.

        Raises StoreError where the one before could not be written.
        """
        self.wait()
        weights = {name: _on_host(tensor) for name, tensor in model.named_parameters()}
        state = {f"{part}/{name}": _on_host(tensor) for part, of in parts.items() for name, tensor in of.state()}
        state |= {f"random/{name}": tensor for name, tensor in _random_states().items()}
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # the copies are on their way
        self._writing = self._writer.submit(self._save, position, weights, state, held_out)

    def wait(self) -> None:
        """Until the last one is written. Raises StoreError where it could not be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _save(
        self, position: Position, weights: dict[str, Tensor], state: dict[str, Tensor], held_out: float | None
    ) -> None:
        """Write one, then take away those that need not stay."""
        folder, attempt = _name(position.step), secrets.token_hex(6)
        entries = {
            name: self._write(f"{folder}/{name}-{attempt}.safetensors", tensors)
            for name, tensors in (("model", weights), ("state", state))
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
            notes={key: getattr(position, key) for key in _NOTED},
            observed={"seconds": position.seconds, "hours": position.hours, "held_out": held_out},
        )
        self._files.replace(f"{folder}/manifest.json", manifest.to_json())
        named = {"manifest.json", *(Path(entry.path).name for entry in entries.values())}
        for file in (self._folder / folder).iterdir():  # of the same step, before training went back
            if file.name not in named:
                self._files.remove(f"{folder}/{file.name}")
        self._prune()

    def newest(self) -> Manifest | None:
        """The newest whole checkpoint, None where there is none. Damaged ones before it are set aside with a warning:
        their steps are taken again, and they must not count as newer than what those steps come to.

        Raises ResumeError where it belongs to another corpus, plan, model or settings.
        """
        there = self._complete()
        for folder in reversed(there):
            first = folder == there[0]
            then = "there is none before it, so training begins anew" if first else "going back to the one before it"
            if (manifest := self._whole(folder, then)) is not None:
                return manifest
        return None

    def at(self, step: int) -> Manifest | None:
        """The checkpoint after this step, None where it is not there or damaged."""
        self.wait()
        folder = self._folder / _name(step)
        return self._whole(folder, "training cannot go back to it") if folder in self._complete() else None

    def forget_after(self, step: int) -> None:
        """Take away all that were taken later: training went back to this step."""
        self.wait()
        for folder in self._folders():
            if _step(folder) > step:
                _remove(folder)

    def _whole(self, folder: Path, then: str) -> Manifest | None:
        """The manifest of a checkpoint whose files are what it says. Where they are not, None: a warning says what
        happens `then`, and the manifest gets another name, so that it is a checkpoint no more."""
        file = folder / "manifest.json"
        manifest = Manifest.from_json(file.read_bytes())
        if manifest is not None:
            self._check(manifest, folder)
            if not (damaged := self._damaged(manifest)):
                return manifest
        what = "its manifest is torn" if manifest is None else f"{damaged} is not what was written"
        self._warn(f"checkpoint {folder.name} is damaged ({what}); {then}")
        try:
            file.replace(folder / "manifest.damaged.json")
        except OSError as error:
            raise store_error(error, str(file)) from error
        return None

    def load(self, manifest: Manifest, model: nn.Module, parts: Mapping[str, Stateful]) -> Position:
        """Put the checkpoint's tensors into model and parts, one at a time, set the random states, and say how far it
        is."""
        weights, state = TensorFile(self._path(manifest, "model")), self._path(manifest, "state")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        for part, of in parts.items():
            of.load_state(TensorFile(state, f"{part}/"))
        _set_random_states(TensorFile(state, "random/"))
        notes = manifest.notes
        return Position(
            step=notes["step"],
            seconds=manifest.observed["seconds"],
            runtime=notes["runtime"],
            hours=manifest.observed["hours"],
            bad=tuple(notes["bad"]),
            losses=tuple(notes["losses"]),
            recent=tuple(Good(*good) for good in notes["recent"]),
            rewinds=tuple(notes["rewinds"]),
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

    def _folders(self) -> list[Path]:
        """All folders of checkpoints, also of attempts that were killed before theirs was whole; by step."""
        found = [path for path in self._folder.glob(f"{_FOLDER}/step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
        return sorted(found, key=_step)

    def _complete(self) -> list[Path]:
        """Those with a manifest."""
        return [folder for folder in self._folders() if (folder / "manifest.json").exists()]

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
        whole = self._complete()
        stay = set(whole[-self._keep :])
        if self._keep_every:
            stay |= {folder for folder in whole if _step(folder) % self._keep_every == 0}
        if self._guard_every:
            stay |= set([folder for folder in whole if _step(folder) % self._guard_every == 0][-_REWINDABLE:])
        if self._keep_best and (best := self._best(whole)):
            stay.add(best)
        for folder in self._folders():
            # Without a manifest: killed, or damaged. Later than the newest: of another process, or yet to be overtaken.
            if folder not in stay and _step(folder) <= _step(whole[-1]):
                _remove(folder)

    def _best(self, whole: Sequence[Path]) -> Path | None:
        found = []
        for folder in whole:
            manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
            if manifest is not None and (held_out := manifest.observed.get("held_out")) is not None:
                found.append((held_out, _step(folder), folder))
        return min(found)[2] if found else None


def _name(step: int) -> str:
    return f"{_FOLDER}/step-{step:08d}"


def _step(folder: Path) -> int:
    return int(folder.name[5:])


def _remove(folder: Path) -> None:
    # The manifest goes first: what is half removed is then no checkpoint.
    (folder / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _on_host(tensor: Tensor) -> Tensor:
    """A copy in the host's memory; from a GPU it is on its way."""
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
    return host.copy_(tensor.detach(), non_blocking=True)


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
        plain = tensor.contiguous().reshape(-1)
        stream.write(plain.view(torch.uint8).numpy().data)


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
