"""Safetensors files written and read one tensor at a time, in one file or several with an index.

A file is 8 bytes of length, a JSON header of that length, and the tensors' bytes (safetensors' own description of its
format). The library writes a dictionary of all tensors at once; here each is made when its turn comes, so that writing
a model takes the memory of the model and of one tensor.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from firn.core.errors import FormatError
from firn.core.files import Files, atomic_write, store_error, sync_folder

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_WEIGHTS = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_READ = {**_WEIGHTS, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# Longest index that is read; one of 100,000 tensors has about 10 MB.
_LONGEST = 64 << 20


class Made(NamedTuple):
    """A tensor of this shape that `make` gives."""

    shape: tuple[int, ...]
    make: Callable[[], Tensor]


def write_tensors(folder: Path, tensors: Mapping[str, Made], dtype: torch.dtype, shard_bytes: int) -> None:
    """Write model.safetensors, or where that were more than `shard_bytes` numbered files and their index.

    Tensors lie in the order of their names. Each file is whole or absent at any moment, the index comes last, and what
    an earlier model left in the folder under the other layout's name is taken away. Raises StoreError.
    """
    shards: list[list[str]] = [[]]
    filled = total = 0
    for name in sorted(tensors):
        size = _size(tensors[name].shape, dtype)
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled, total = filled + size, total + size
    if len(shards) == 1:
        _write(folder, _WHOLE, tensors, shards[0], dtype)
        _remove_others(folder, [_WHOLE])
        return
    files = [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    for file, names in zip(files, shards, strict=True):
        _write(folder, file, tensors, names, dtype)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {name: file for file, names in zip(files, shards, strict=True) for name in names},
    }
    atomic_write(folder / _INDEX, (json.dumps(index, indent=2) + "\n").encode())
    _remove_others(folder, [_INDEX, *files])


def _remove_others(folder: Path, kept: list[str]) -> None:
    """Take away the weights of an earlier model: readers would take them for this one's."""
    for name in (_WHOLE, _INDEX, *(path.name for path in folder.glob("model-?????-of-?????.safetensors"))):
        if name not in kept:
            Files(folder).remove(name)


def _size(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return int(torch.Size(shape).numel()) * dtype.itemsize


def _write(folder: Path, file: str, tensors: Mapping[str, Made], names: list[str], dtype: torch.dtype) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        start, end = end, end + _size(tensors[name].shape, dtype)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{file}.{secrets.token_hex(6)}.tmp"
    out = Files(folder).create(temporary)
    try:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            tensor = tensors[name].make().detach().to("cpu", dtype).contiguous()
            if tuple(tensor.shape) != tensors[name].shape:
                raise ValueError(f"{name} was announced as {tensors[name].shape} and is {tuple(tensor.shape)}")
            out.write(tensor.flatten().view(torch.uint8).numpy())
        out.close()
        os.replace(folder / temporary, folder / file)
        sync_folder(str(folder))
    except OSError as error:
        raise store_error(error, str(folder / file)) from error
    finally:
        out.discard()
        (folder / temporary).unlink(missing_ok=True)


class Entry(NamedTuple):
    """Where a tensor lies: bytes [start, stop) of a file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorFiles:
    """The tensors of a folder, read one at a time. Raises FormatError naming the file."""

    def __init__(self, folder: Path):
        self.entries: dict[str, Entry] = {}
        for file in _files(folder):
            for name, entry in _entries(file).items():
                if name in self.entries:
                    problem = f"the tensor is in {self.entries[name].file.name}, too"
                    raise FormatError(problem, where=str(file), key=name)
                self.entries[name] = entry
        if not self.entries:
            raise FormatError("holds no tensors", where=str(folder / _WHOLE))

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises FormatError where the tensor has another shape, or no numbers that we read."""
        entry = self.entries[name]
        if entry.dtype not in _WEIGHTS:
            problem = f"the tensor is quantised or no number: {entry.dtype}"
            raise FormatError(problem, where=str(entry.file), key=name)
        if entry.shape != shape:
            problem = f"the tensor has shape {list(entry.shape)}, config.json says {list(shape)}"
            raise FormatError(problem, where=str(entry.file), key=name)

    def read(self, name: str) -> Tensor:
        """The tensor, in the dtype of the file."""
        return _read(name, self.entries[name])


class TensorFile(Mapping[str, Tensor]):
    """The tensors of one file, by what follows `prefix` in their names; each is read when it is asked for, and nobody
    else keeps it. Raises FormatError naming the file."""

    def __init__(self, file: Path, prefix: str = ""):
        found = _entries(file)
        self.entries = {name.removeprefix(prefix): entry for name, entry in found.items() if name.startswith(prefix)}

    def __getitem__(self, name: str) -> Tensor:
        return _read(name, self.entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _read(name: str, entry: Entry) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=_READ[entry.dtype])
    try:
        with entry.file.open("rb") as stream:
            stream.seek(entry.start)
            # Not mapped into memory: mapped pages would count as a second copy.
            bytes_of_it: Any = tensor.flatten().view(torch.uint8).numpy()
            if stream.readinto(bytes_of_it) != entry.stop - entry.start:
                raise OSError("it became shorter")
    except OSError as error:
        raise FormatError(f"cannot be read: {error}", where=str(entry.file), key=name) from error
    return tensor


def _entries(file: Path) -> dict[str, Entry]:
    """What the header of a file says, checked by the library: no tensor reaches beyond the file or into another."""
    if not file.is_file():  # a pipe would be waited for, for ever
        raise FormatError("cannot be read: there is no such file", where=str(file))
    try:
        with safe_open(file, framework="pt"):
            pass
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", where=str(file)) from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise FormatError(f"is not a safetensors file: {error}", where=str(file)) from error
    header.pop("__metadata__", None)
    return {
        name: Entry(file, found["dtype"], tuple(found["shape"]), *(8 + length + at for at in found["data_offsets"]))
        for name, found in header.items()
    }


def _files(folder: Path) -> list[Path]:
    """model.safetensors, or the files that its index names."""
    index = folder / _INDEX
    if not index.exists():
        return [folder / _WHOLE]
    found = read_json(index, _LONGEST)
    mapped = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(mapped, dict) or not mapped:
        raise FormatError("is not an index of tensors: it has no weight_map", where=str(index))
    for name in mapped.values():
        if not isinstance(name, str) or not name or name != Path(name).name or name.startswith("."):
            raise FormatError(f"names a file outside its folder: {name!r}", where=str(index), key="weight_map")
    return [folder / name for name in sorted(set(mapped.values()))]


def read_json(file: Path, longest: int = 1 << 20) -> Any:
    """The content of a JSON file of at most `longest` bytes. Raises FormatError."""
    if not file.is_file():
        raise FormatError("cannot be read: there is no such file", where=str(file))
    try:
        with file.open("rb") as stream:
            data = stream.read(longest + 1)
        if len(data) > longest:
            raise ValueError(f"it is longer than {longest} bytes")
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"cannot be read: {error}", where=str(file)) from error
