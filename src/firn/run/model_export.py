"""`firn export`: a finished run's model as other programs want it: a Hugging Face folder in 16 bits, or a GGUF file."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from firn.core.errors import FormatError, InputError, RecipeError
from firn.core.files import store_error
from firn.model import build
from firn.model.encoder import Encoder
from firn.model.gguf_export import save_gguf
from firn.model.hf import SHARD_BYTES
from firn.model.hf_config import unexportable
from firn.run.folder import RunFolder
from firn.run.words import model_folder
from firn.tokens.objectives import mask_token
from firn.tokens.tokenizer import Tokenizer
from firn.train.result import TrainResult

Format = Literal["hf", "gguf"]
Dtype = Literal["fp32", "bf16", "fp16"]

_TORCH: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_GGUF: dict[Dtype, Literal["f32", "bf16", "f16"]] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_USUAL: dict[Format, Dtype] = {"hf": "bf16", "gguf": "fp16"}
_CARD, _TOKENIZER = "README.md", "tokenizer.json"


@dataclass(frozen=True)
class ExportedModel:
    """folder: what was written. files: name -> bytes."""

    folder: str
    format: str
    dtype: str
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def export_model(
    run: str | Path,
    runs: str | Path = "runs",
    *,
    to: str = "hf",
    dtype: str | None = None,
    out: str | Path | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> ExportedModel:
    """Write the model of a finished run, its tokenizer and its card into a new folder, which is whole or absent.

    to: hf, a folder that transformers and vLLM open; gguf, a file for llama.cpp (needs `firn[gguf]`). dtype: of the
    weights: fp32, bf16 or fp16; None: bf16 for hf, fp16 for gguf. out: the folder; None: `export-<to>-<dtype>` in the
    run's. shard_bytes: largest file of weights (hf).
    Raises InputError where the run has no finished model or the folder is there already, RecipeError for what cannot
    be exported, FormatError where the model's files are not what training wrote, StoreError.
    """
    format, kind = _chosen(to, dtype)
    found = _opened(run, runs)
    folder = model_folder(found)
    result = TrainResult.read(folder.parent)
    if result is None or not result.is_whole(folder.parent):
        raise FormatError("is not the model that training wrote", where=str(folder), mend="run the recipe again")
    target = Path(out) if out is not None else found.path / f"export-{format}-{kind}"
    if target.exists():
        raise InputError("is there already", where=str(target), key="--out", mend="name another folder, or remove it")
    model, tokenizer = build.load(folder), Tokenizer((folder / _TOKENIZER).read_bytes())
    _refuse(model, format, kind, str(folder))
    card = (folder / _CARD).read_text(encoding="utf-8")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir(parents=True)
        if format == "gguf":
            assert not isinstance(model, Encoder)
            file, ends = temporary / f"{found.path.name}-{kind}.gguf", tokenizer.end_of_text
            save_gguf(model, file, tokenizer.json, end_of_text=ends, name=found.path.name, dtype=_GGUF[kind])
            (temporary / _CARD).write_text(card, encoding="utf-8")
        else:
            build.save(
                model,
                temporary,
                tokenizer.json,
                card,
                end_of_text=tokenizer.end_of_text,
                mask=mask_token(tokenizer) if isinstance(model, Encoder) else None,
                dtype=_TORCH[kind],
                shard_bytes=shard_bytes,
            )
        files = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
        os.rename(temporary, target)
    except OSError as error:
        raise store_error(error, str(target)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ExportedModel(str(target), format, kind, files)


def _chosen(to: str, dtype: str | None) -> tuple[Format, Dtype]:
    if to not in _USUAL:
        raise RecipeError(f"there is no format {to!r}", key="--to", mend="give hf or gguf")
    kind = cast(Dtype, dtype or _USUAL[to])
    if kind not in _TORCH:
        raise RecipeError(f"there is no type {kind!r}", key="--dtype", mend="give fp32, bf16 or fp16")
    return to, kind


def _opened(run: str | Path, runs: str | Path) -> RunFolder:
    name, at, step = str(run).rpartition("@")
    if at and step.isdigit():
        raise RecipeError(
            "only the model that a run ended in is exported, not its checkpoints",
            where=str(run),
            mend=f"end a branch there and export that: firn run RECIPE name=other train.from={run} train.steps=1, or "
            f"export {name}",
        )
    return RunFolder.open(run, runs)


def _refuse(model: build.Model, format: Format, dtype: Dtype, where: str) -> None:
    """Raises RecipeError for what no other program would compute."""
    if isinstance(model, Encoder):
        if format == "gguf":
            mend = "export it with --to hf, which transformers opens"
            raise RecipeError("an encoder has no GGUF file: llama.cpp continues texts", where=where, mend=mend)
    elif (reason := unexportable(model.settings)) is not None:
        raise RecipeError(
            f"no other program computes this model: {reason}",
            where=where,
            key="model",
            mend="let firn run it (firn generate), or train a shape that exports: model.preset=qwen3",
        )
    largest = max(float(parameter.detach().abs().max()) for parameter in model.parameters())
    if dtype == "fp16" and largest > torch.finfo(torch.float16).max:
        raise RecipeError(
            f"a weight of {largest:.3g} is beyond fp16", where=where, key="--dtype", mend="export bf16 or fp32"
        )
