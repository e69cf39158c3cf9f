"""Where training begins, when not at random weights: a model's folder, or a checkpoint of another run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from firn.core.errors import FormatError, InputError, RecipeError
from firn.core.hashing import fingerprint, hash_file
from firn.core.inputs import external
from firn.core.store import Manifest
from firn.model.build import Model, Shape, load_into, shape_from, shape_of
from firn.model.tensor_files import TensorFile
from firn.tokens.batch import tokens_before
from firn.tokens.mixture import BatchPlan
from firn.train.optim import Optimizers
from firn.train.result import file_hash
from firn.train.settings import OptimizerSettings

#: Settings that say which state an optimizer keeps: of these two whether there is one, not its value.
_STATE = ("matrices", "row_beta", "average")
_ANY_VALUE = ("row_beta", "average")


@dataclass(frozen=True)
class Start:
    """identity: of what is loaded, by its content. shape: of the model that it is of. load: puts it into a model and
    its optimizers. step, tokens, corpus: of the checkpoint; None where it is none."""

    identity: str
    shape: Shape
    load: Callable[[Model, Optimizers], None]
    step: int | None = None
    tokens: int | None = None
    corpus: str | None = None


def from_folder(folder: Path, hashes: Mapping[str, str] | None = None) -> Start:
    """The weights of a Hugging Face folder; the optimizers begin anew. hashes: SHA-256 of its files, where they are
    known.

    Raises InputError where it has none, FormatError where they are not of our shapes or, as they are loaded, not what
    the hashes say.
    """
    files = sorted([folder / "config.json", *folder.glob("*.safetensors")])
    identity = fingerprint([[file.name, external(file).identity] for file in files])

    def put(model: Model, _: Optimizers) -> None:
        for file in files:
            if hashes is not None and file_hash(file) != hashes.get(file.name):
                raise FormatError("is not what was written", where=str(file), mend="run that recipe again")
        load_into(model, folder)

    return Start(identity, shape_of(folder), put)


def from_checkpoint(training: Path, step: int | None, optimizer: OptimizerSettings) -> Start:
    """Weights and optimizer state after `step` steps of a training, in its folder; None: its newest checkpoint.

    Raises InputError where there is no such checkpoint, FormatError where it is damaged, RecipeError where its
    optimizers keep other state than `optimizer` asks for.
    """
    there = {int(file.parent.name[5:]): file for file in training.glob("checkpoints/step-*/manifest.json")}
    if not there or (step is not None and step not in there):
        kept = ", ".join(map(str, sorted(there))) or "none"
        raise InputError(
            f"the run has no checkpoint of step {step}" if step is not None else "the run has no checkpoint",
            where=str(training),
            key="train.from",
            mend=f"there are: {kept}; watch.keep and watch.checkpoint_every of that run say which stay",
        )
    file = there[max(there) if step is None else step]
    manifest = Manifest.from_json(file.read_bytes())
    if manifest is None or manifest.settings is None:
        raise FormatError("the checkpoint's manifest is torn", where=str(file), mend="begin from another checkpoint")
    saved = manifest.settings
    for name in _STATE:
        before, now = saved["train"]["optimizer"].get(name), getattr(optimizer, name)
        same = (before is None) == (now is None) if name in _ANY_VALUE else before == now
        if not same:
            raise RecipeError(
                f"the checkpoint's optimizers have {before}, these {now}, which keep other state",
                where=str(file.parent),
                key=f"train.optimizer.{name}",
                mend="set it as it was, or begin from the finished model alone: model.from",
            )

    def put(model: Model, optimizers: Optimizers) -> None:
        for entry in manifest.files.values():
            try:
                with (training / entry.path).open("rb") as stream:
                    found = hash_file(stream)
            except FileNotFoundError:
                found = None
            if found != entry.hash:
                problem = "is gone" if found is None else "is not what was written"
                mend = "begin from another checkpoint of the run: train.from"
                raise FormatError(problem, where=str(training / entry.path), mend=mend)
        _copy(TensorFile(training / manifest.files["model"].path), model, str(file.parent))
        optimizers.load_state(TensorFile(training / manifest.files["state"].path, "optimizer/"))

    plan, done = BatchPlan.model_validate(saved["plan"]), manifest.notes["step"]
    return Start(
        fingerprint(sorted(entry.hash for entry in manifest.files.values())),
        shape_from(saved["model"]),
        put,
        done,
        tokens_before(plan, done),
        plan.corpus,
    )


@torch.no_grad()
def _copy(weights: TensorFile, model: Model, where: str) -> None:
    """Set the model, tensor by tensor, once all of them fit."""
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        found = weights.entries[name].shape if name in weights.entries else None
        if found != tuple(parameter.shape):
            said = "none" if found is None else list(found)
            raise FormatError(f"the tensor is {said}, not {list(parameter.shape)}", where=where, key=name)
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
