"""Where a recipe's training begins: at random weights, at a model's, or at a checkpoint of another run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core.errors import FormatError, InputError, RecipeError
from firn.core.inputs import external
from firn.model.build import Model, Shape, shape_from
from firn.model.config import ModelSettings
from firn.model.encoder_config import EncoderSettings
from firn.model.lengthen import lengthened
from firn.run.folder import RunFolder
from firn.run.objective import check_kind, check_tokens
from firn.run.recipe import Recipe, narrowed
from firn.run.shape import LENGTHENING, Continued
from firn.tokens.tokenizer import Tokenizer, load
from firn.train.optim import Optimizers
from firn.train.result import TrainResult
from firn.train.start import Start, from_checkpoint, from_folder


@dataclass(frozen=True)
class Ancestor:
    """What a model was before: a folder, or a run up to some step. identity: of its content. tokens: that the run had
    trained on, of which corpus; None of a folder."""

    name: str
    identity: str
    tokens: int | None = None
    corpus: str | None = None


@dataclass(frozen=True)
class Beginning:
    """shape: of the model. start: None where its weights are random. tokenizer: the tokenizer.json that the start was
    trained with; file: where it lies. ancestors: all that its weights came by, the oldest first."""

    shape: Shape
    start: Start | None = None
    tokenizer: bytes | None = None
    file: str = ""
    ancestors: tuple[Ancestor, ...] = ()

    @property
    def identity(self) -> str | None:
        """Of what is loaded; None where nothing is."""
        return None if self.start is None else self.start.identity

    @property
    def said(self) -> str:
        """What the start is, for people; empty where there is none."""
        return self.ancestors[-1].name if self.ancestors else ""

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises RecipeError where the corpus has another tokenizer than the start."""
        if self.tokenizer is not None and tokenizer.json != self.tokenizer:
            raise self.wrong_tokenizer()

    def wrong_tokenizer(self) -> RecipeError:
        """What is said of a corpus with another tokenizer."""
        return RecipeError(
            f"the corpus has another tokenizer than {self.said}, so its tokens would mean nothing to the model",
            key="tokenizer.file",
            mend=f"give `tokenizer: {{file: {self.file}}}`",
        )

    def noted(self, recipe: Recipe) -> dict[str, Any] | None:
        """What run.json keeps, so that a training which has begun goes on when what it began from is gone."""
        if self.start is None:
            return None
        shape, ancestors = self.shape.model_dump(mode="json"), [asdict(ancestor) for ancestor in self.ancestors]
        return {"asked": _asked(recipe), "identity": self.identity, "shape": shape, "ancestors": ancestors}


def beginning(recipe: Recipe, runs: str | Path) -> Beginning:
    """Where the recipe's training begins. runs: the folder of runs, in which names are looked up.

    Raises InputError where there is no such model or run and the recipe's own run has not begun from it before;
    FormatError where it is damaged, and RecipeError where it does not fit the recipe.
    """
    if recipe.tokenizer.file is not None:
        external(recipe.tokenizer.file)  # raises InputError where there is none
    try:
        begin = _beginning(recipe, runs)
    except (InputError, FormatError) as gone:
        begin = _begun(recipe, runs, gone)
    check_kind(isinstance(begin.shape, EncoderSettings), recipe.train)
    _check_tokens(recipe, begin)
    if recipe.train.window > begin.shape.context:
        raise RecipeError(
            f"the window is {recipe.train.window} tokens, the model reads at most {begin.shape.context}",
            key="train.window",
            mend="make model.context at least as long",
        )
    return begin


def _check_tokens(recipe: Recipe, begin: Beginning) -> None:
    """Raises RecipeError where the tokenizer lacks a token that the objective needs."""
    file = recipe.tokenizer.file
    if begin.tokenizer is None and file is not None:
        special = load(external(file).local()).special_tokens
        check_tokens(special, recipe.train, "tokenizer.file", lambda names: f"add {names} to the special tokens there")
    elif begin.tokenizer is not None:
        own = Tokenizer(begin.tokenizer, begin.file)
        rows = begin.shape.vocab_size - own.vocab_size
        room = f", or add them to {begin.file} itself: the model has {rows:,} rows to spare" if rows > 0 else ""
        check_tokens(
            own.special_tokens,
            recipe.train,
            "tokenizer.file",
            lambda names: f"the tokenizer is the model's: begin from a model that knows {names}{room}",
        )


def _beginning(recipe: Recipe, runs: str | Path) -> Beginning:
    if recipe.train.start is not None:
        return _branched(recipe, recipe.train.start, runs)
    if isinstance(recipe.model, Continued):
        return _continued(recipe, recipe.model, runs)
    return Beginning(_by_numbers(recipe))


def _by_numbers(recipe: Recipe) -> Shape:
    kind = next(k for k in type(recipe.model).__mro__ if k.__module__.startswith("firn.model."))
    shape: Shape = narrowed(kind, recipe.model)
    return shape


def _branched(recipe: Recipe, said: str, runs: str | Path) -> Beginning:
    """At a checkpoint of another run, RUN@STEP or RUN."""
    name, _, step = said.rpartition("@") if "@" in said else (said, "", "")
    if "@" in said and not step.isdigit():
        raise RecipeError(
            f"{step!r} is no step", key="train.from", mend="write RUN@STEP, or RUN for the last of a finished run"
        )
    run = _other(recipe, name, runs, "train.from")
    tokenizer = run.store.lookup("tokenizer", run.state.get("tokenizer", ""))
    if run.training is None or tokenizer is None:
        raise InputError(
            "the run has not begun to train", where=str(run.path), key="train.from", mend="run its recipe first"
        )
    if not step and TrainResult.read(run.training) is None:
        raise InputError(
            "the run is not trained to its end, so which checkpoint is its newest may change",
            where=str(run.path),
            key="train.from",
            mend=f"name a step: {name}@STEP; `watch.keep_every` of that run keeps some for good",
        )
    start = from_checkpoint(run.training, int(step) if step else None, recipe.train.optimizer)
    file = run.store.local(tokenizer, "tokenizer")
    own = Ancestor(f"run {run.path.name} after step {start.step}", start.identity, start.tokens, start.corpus)
    begin = Beginning(_shape(recipe, run, start.shape), start, file.read_bytes(), str(file), (*_ancestors(run), own))
    if recipe.tokenizer.file is not None and external(recipe.tokenizer.file).local().read_bytes() != begin.tokenizer:
        raise begin.wrong_tokenizer()
    return begin


def _shape(recipe: Recipe, run: RunFolder, theirs: Shape) -> Shape:
    """The shape of the checkpoint's model, which is all that a recipe may say of it, lengthened where it says so."""
    where = str(run.path)
    if isinstance(recipe.model, Continued):
        from_ = recipe.model.start
        if from_ is not None and from_ != run.state["recipe"]["model"].get("from"):
            raise RecipeError(
                f"training begins from run {run.path.name}, which did not begin from {from_}",
                where=where,
                key="model.from",
                mend="leave one of model.from and train.from out",
            )
        return _lengthened(recipe.model, theirs)
    ours = _by_numbers(recipe)
    said, saved = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
    said["vocab_size"] = ours.vocab_size or theirs.vocab_size
    for name in said | saved:  # the preset first
        if said.get(name) != saved.get(name):
            raise RecipeError(
                f"the checkpoint's model has {saved.get(name)}, this one {said.get(name)}",
                where=where,
                key=f"model.{name}",
                mend="leave `model` out, it is the checkpoint's (on the command line: model=null); to lengthen it, "
                f"give {', '.join(LENGTHENING)} alone",
            )
    return theirs


def _continued(recipe: Recipe, said: Continued, runs: str | Path) -> Beginning:
    """At the weights of a finished model."""
    assert said.start is not None
    folder = Path(said.start)
    name, result, corpus = f"folder {folder.name}", None, None
    before: tuple[Ancestor, ...] = ()
    if not (folder / "config.json").is_file():
        run = _other(recipe, said.start, runs, "model.from")
        result = None if run.training is None else TrainResult.read(run.training)
        if run.training is None or result is None:
            raise InputError(
                "the run has no finished model yet",
                where=str(run.path),
                key="model.from",
                mend="run it to the end, or begin from one of its checkpoints: train.from",
            )
        folder, name, before = run.training / "model", f"run {run.path.name}", _ancestors(run)
        corpus = run.state["plan"]["corpus"]
    file = folder / "tokenizer.json"
    mend = f"give `tokenizer: {{file: {file}}}`"
    if recipe.tokenizer.file is None:
        raise RecipeError("a model goes on with the tokenizer it has", key="tokenizer.file", mend=mend)
    try:
        tokenizer = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file), mend="put it there") from error
    if external(recipe.tokenizer.file).local().read_bytes() != tokenizer:
        raise RecipeError(f"is another than that of {folder}", key="tokenizer.file", mend=mend)
    start = from_folder(folder, result.files if result else None)
    own = Ancestor(name, start.identity, result.tokens if result else None, corpus)
    return Beginning(_lengthened(said, start.shape), start, tokenizer, str(file), (*before, own))


def _lengthened(said: Continued, shape: Shape) -> Shape:
    given = {name: getattr(said, name) for name in LENGTHENING}
    if all(value is None or value == getattr(shape, name, None) for name, value in given.items()):
        return shape
    if not isinstance(shape, ModelSettings):
        raise RecipeError("an encoder's context stays as it is", key="model.context", mend="leave it out")
    context = said.context or shape.context
    return lengthened(shape, context, rope_theta=said.rope_theta, rope_scaling=said.rope_scaling)


def _other(recipe: Recipe, name: str, runs: str | Path, key: str) -> RunFolder:
    """Another run than the recipe's own."""
    run = RunFolder.open(name, runs)
    if run.path.resolve() == (Path(runs) / recipe.name).resolve():
        raise RecipeError("a run cannot begin from itself", key=key, mend="give this recipe another name")
    return run


def _ancestors(run: RunFolder) -> tuple[Ancestor, ...]:
    """What a run began from, as far as it was noted."""
    noted = run.state.get("start") or {"ancestors": []}
    return tuple(Ancestor(**entry) for entry in noted["ancestors"])


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of where it begins."""
    return {"train.from": recipe.train.start, "model": recipe.resolved()["model"]}


def _begun(recipe: Recipe, runs: str | Path, gone: InputError | FormatError) -> Beginning:
    """Where the recipe's own run began before what it began from was gone: its checkpoints are enough to go on. Raises
    `gone` where it has not begun, or when the start itself is to be loaded."""
    run = RunFolder(Path(runs) / recipe.name)
    run.read()
    noted = run.state.get("start")
    if noted is None or noted["asked"] != _asked(recipe):
        raise gone

    def put(_: Model, __: Optimizers) -> None:
        raise gone

    shape = shape_from(noted["shape"])
    return Beginning(shape, Start(noted["identity"], shape, put), ancestors=_ancestors(run))
