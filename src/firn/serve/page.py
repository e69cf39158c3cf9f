"""What the run page shows, as plain data. `run` fills it in, `report` draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firn.serve.cleaning import Cleaning


@dataclass(frozen=True)
class Flow:
    """What one stage did with the documents of one source.

    entered: rows of its input. left: rows of its output. verdicts: count per verdict of the ledger. rules: documents
    taken out by each rule. changes: documents that stay and that each rule changed; more than one may have changed one.
    """

    stage: str
    source: str
    entered: int
    left: int
    verdicts: Mapping[str, int]
    rules: Mapping[str, int]
    changes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Share:
    """A source in the mixture. bytes: of training text. drawn: training tokens taken in the whole run, None before."""

    source: str
    documents: int
    bytes: int
    tokens: int
    validation_tokens: int
    weight: float
    drawn: int | None = None

    @property
    def epochs(self) -> float | None:
        """How many times the run goes through the source."""
        return None if self.drawn is None or not self.tokens else self.drawn / self.tokens


@dataclass(frozen=True)
class Curve:
    """A line of a chart. points: (tokens trained on, value)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Rung:
    """One step of the ladder. bits: bits per byte by source. own: the model of this run."""

    name: str
    bits: Mapping[str, float]
    own: bool = False
    about: str = ""


@dataclass(frozen=True)
class Completion:
    """What the model wrote after a prompt."""

    prompt: str
    text: str


@dataclass(frozen=True)
class Sample:
    """A document as an example. rule, value, bound: why it went; empty for one that stayed."""

    source: str
    where: str
    text: str
    rule: str = ""
    value: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Cut:
    """What was cut out of a document that stayed, between what stood before it and behind."""

    source: str
    where: str
    stage: str
    rule: str
    before: str
    cut: str
    after: str


@dataclass(frozen=True)
class Cost:
    """What a stage took. seconds: of work, summed over shards. memory: peak of one worker, in bytes."""

    stage: str
    shards: int
    seconds: float
    memory: int = 0
    bytes: int = 0
    flops: float | None = None


@dataclass(frozen=True)
class Page:
    """Everything on the run page. Texts are as they are: the report redacts and escapes them.

    figure: what `validation` is of held-out text, in words.
    """

    name: str
    facts: Mapping[str, str]
    flows: Sequence[Flow] = ()
    cleaning: Cleaning | None = None
    mixture: Sequence[Share] = ()
    training: Sequence[Curve] = ()
    validation: Sequence[Curve] = ()
    figure: str = "bits per byte"
    ladder: Sequence[Rung] = ()
    completions: Sequence[Completion] = ()
    kept: Sequence[Sample] = ()
    removed: Sequence[Sample] = ()
    cuts: Sequence[Cut] = ()
    costs: Sequence[Cost] = ()
    recipe: str = ""
    summary: str = ""
    notes: Sequence[str] = field(default=())
