"""The recipe: one typed tree from raw data to the report, which only puts the rooms' own settings together.

Every key is checked; nothing is ignored. `load` reads a YAML file, `Recipe.to_yaml` writes the resolved tree, with
every default filled in, and `schema` is its JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from firn.core.settings import Settings
from firn.core.split import SplitSettings
from firn.data.decontaminate import DecontaminateSettings
from firn.data.dedup import DedupSettings
from firn.data.extract import ExtractSettings
from firn.data.pii.settings import PiiSettings
from firn.data.quality.settings import QualitySettings
from firn.data.robots.read import paths_of
from firn.data.rules import RulesSettings
from firn.data.same_url import SameUrlSettings
from firn.data.sources import (
    BooksSource,
    CodeSource,
    CommonCrawlSource,
    FilesSource,
    FinewebSource,
    PapersSource,
    PydocsSource,
    WarcSource,
    WikipediaSource,
)
from firn.data.sources import Source as RawSource
from firn.run import objective
from firn.run.reading import PLACED, read, to_yaml
from firn.run.shape import Decoder, Dialled, Said, branched, dial, dialled, with_mask, with_names
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.encode import TokensSettings
from firn.tokens.mixture import MAX_EPOCHS
from firn.train.settings import TrainSettings, WatchSettings

S = TypeVar("S", bound=Settings)

# Said once at the top of the tree, and handed to the stages that need it.
_SHARED = "split"


class Judged(Settings):
    """What a recipe says of a source beyond where it lies."""

    rules: Annotated[RulesSettings, PLACED] = RulesSettings()
    """Which documents stay: a preset of rules, and what is changed in it."""
    weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Share of this source in training, beside the other sources' weights. None for all: by their tokens."""
    same_url: bool = False
    """Whether one document of each URL stays, in all sources that say so: right for pages that were fetched from there,
    wrong for texts that name where a collection lies, or a thread that they are parts of."""
    quality: bool = True
    """Whether the recipe's `quality` judges this source; false: its documents stay whatever they are."""


class Warc(WarcSource, Judged):
    """Web pages out of WARC files, as Common Crawl has them."""

    same_url: bool = True
    """Whether one page of each URL stays, in all sources that say so."""


class CommonCrawl(CommonCrawlSource, Judged):
    """Web pages out of Common Crawl, by a share of a crawl or by what its index says of them."""

    same_url: bool = True
    """Whether one page of each URL stays, in all sources that say so."""


class Code(CodeSource, Judged):
    """Source files."""


class Files(FilesSource, Judged):
    """Texts in files: plain, Markdown, HTML, JSON lines, CSV, Parquet or Arrow."""


class Fineweb(FinewebSource, Judged):
    """Web pages as FineWeb, FineWeb-Edu or FineWeb-2 publish them."""

    same_url: bool = True
    """Whether one page of each URL stays, in all sources that say so."""


class Pydocs(PydocsSource, Judged):
    """The documentation of the Python that runs firn, as a crawl."""


class Papers(PapersSource, Judged):
    """Scholarly articles: JATS or Elsevier XML, LaTeX as arXiv keeps it, Markdown."""


class Books(BooksSource, Judged):
    """Books: Project Gutenberg, EPUB, OpenStax, PDF, and trees of Markdown, LaTeX or HTML."""


class Wikipedia(WikipediaSource, Judged):
    """Articles out of MediaWiki XML dumps."""


Source = Annotated[
    Warc | CommonCrawl | Code | Files | Fineweb | Papers | Books | Pydocs | Wikipedia, Field(discriminator="kind")
]
_RAW: tuple[type[RawSource], ...] = (
    WarcSource,
    CommonCrawlSource,
    CodeSource,
    FilesSource,
    FinewebSource,
    PapersSource,
    BooksSource,
    PydocsSource,
    WikipediaSource,
)


class MixtureSettings(Settings):
    """Limits of the mixture; the weights stand with the sources."""

    max_epochs: float = Field(default=MAX_EPOCHS, gt=0)
    """A source that would be read more often is an error."""


class ReportSettings(Settings):
    """What the run page shows besides numbers."""

    prompts: tuple[str, ...] = ("The ", "def main(")
    """Beginnings that the final model completes."""
    max_tokens: int = Field(default=120, ge=1)
    """Tokens of a completion."""
    temperature: float = Field(default=0.7, ge=0)
    """0 always takes the likeliest token."""
    ladder: bool = True
    """Measure compressors and small models on the same held-out text, for comparison."""


class EngineSettings(Settings):
    """Where and how the work is done. None of it changes a byte."""

    workers: int | None = Field(default=None, ge=1)
    """Worker processes; None: one per processor."""
    document_seconds: float = Field(default=60.0, gt=0)
    """Processor time that one document may take before it is given up."""
    document_bytes: int = Field(default=4 << 30, gt=0)
    """Bytes of memory that one document may take before it is given up."""


class Recipe(Settings):
    """From raw data to a base model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the run and of its folder; the recipe's file name by default."""
    sources: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Source] = Field(min_length=1)
    """Where the documents come from, by a name of your own."""
    extract: Annotated[ExtractSettings, PLACED] = ExtractSettings()
    """How web pages become text."""
    same_url: SameUrlSettings = SameUrlSettings()
    """Which document of a URL stays, in sources whose `same_url` is true."""
    dedup: Annotated[DedupSettings, PLACED] = DedupSettings()
    """Which documents count as copies of others."""
    quality: QualitySettings | None = None
    """A model that says how good documents are, and which stay; null: none is asked."""
    decontaminate: DecontaminateSettings | None = None
    """Evaluation sets that are kept out of training; null: none."""
    pii: PiiSettings | None = None
    """Which personal data is replaced, and by what; null: none is."""
    split: SplitSettings = SplitSettings()
    """Which documents are held out for validation."""
    tokenizer: Annotated[TokenizerSettings, PLACED] = TokenizerSettings()
    """The tokenizer that is trained on the documents, or a `tokenizer.json` to use."""
    mixture: MixtureSettings = MixtureSettings()
    """Limits of the mixture of sources."""
    model: Said = Decoder()
    """The shape of the model, or what to go on from."""
    train: Annotated[TrainSettings, PLACED] = TrainSettings()
    """How it is trained."""
    watch: WatchSettings = WatchSettings()
    """What training shows and saves on the way."""
    report: ReportSettings = ReportSettings()
    """The run page."""
    engine: EngineSettings = EngineSettings()
    """Workers and their limits."""
    store: str | None = None
    """Folder or fsspec URL of the shards; None: `store` beside the runs."""
    retain: Literal["all", "needed", "final"] = "all"
    """Shards that stay once the run is finished. all; needed: without the intermediate files of deduplication; final:
    tokens, tokenizer and ledgers only. What a changed recipe, or another `retain`, needs of the rest is made again."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, tree: Any) -> Any:
        return with_mask(dialled(branched(tree)))

    @model_validator(mode="after")
    def _objective_fits(self) -> Recipe:
        objective.check(self.model, self.train, self.tokenizer, self.watch, self.sources)
        return self

    @model_validator(mode="after")
    def _robots_txt_is_known(self) -> Recipe:
        for name, source in self.sources.items():
            if source.rules.robots is not None:
                paths_of(source.rules.robots, source, f"sources.{name}.rules.robots")
        return self

    @model_validator(mode="after")
    def _split_stands_at_the_top(self) -> Recipe:
        for section in ("dedup", "tokenizer"):
            if _SHARED in getattr(self, section).model_fields_set:
                raise ValueError(f"{section}.{_SHARED} is taken from the recipe's own `{_SHARED}`: set it there")
        weights = [source.weight is None for source in self.sources.values()]
        if any(weights) and not all(weights):
            raise ValueError("some sources have a weight and some have none: give every source one, or none")
        return self

    @property
    def dedup_settings(self) -> DedupSettings:
        """Deduplication, told of the split."""
        return self.dedup.model_copy(update={_SHARED: self.split})

    @property
    def tokenizer_settings(self) -> TokenizerSettings:
        """The tokenizer, told of the split."""
        return self.tokenizer.model_copy(update={_SHARED: self.split})

    @property
    def tokens_settings(self) -> TokensSettings:
        """The token shards, told of the split."""
        return TokensSettings(split=self.split)

    @property
    def dial(self) -> list[Dialled]:
        """Every number that `model.depth` speaks of, with the reason for it; empty without a depth."""
        return dial(self.model, self.train, self.tokenizer)

    @property
    def weights(self) -> dict[str, float] | None:
        """Weight of each source; None where they are read by their tokens."""
        given = {name: source.weight for name, source in self.sources.items() if source.weight is not None}
        return given or None

    def raw_source(self, name: str) -> RawSource:
        """A source as the data room knows it, without what the recipe adds."""
        source = self.sources[name]
        kind = next(kind for kind in _RAW if isinstance(source, kind))
        return narrowed(kind, source)

    def resolved(self) -> dict[str, Any]:
        """The whole tree as plain data, every default filled in; `load` takes it back."""
        tree = self.model_dump(mode="json", by_alias=True)
        for section in ("dedup", "tokenizer"):
            del tree[section][_SHARED]
        # The version of Unicode is this Python's, not the recipe's to say.
        tree["dedup"].pop("unicode", None)
        return tree

    def to_yaml(self) -> str:
        """The resolved tree as YAML."""
        return to_yaml(self.resolved())


def narrowed(kind: type[S], settings: Settings) -> S:
    """The fields that `kind` has, as a `kind`."""
    values: Mapping[str, Any] = {name: getattr(settings, name) for name in kind.model_fields}
    return kind.model_construct(**values)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with overrides such as `train.steps=500` put over it.

    Raises InputError where the file cannot be read, RecipeError for anything in it that is not right: it names the
    file, the line, the key and the nearest valid name.
    """
    path = Path(path)
    return read(Recipe, path, overrides, {"name": path.stem})


def schema() -> dict[str, Any]:
    """The JSON schema of recipes, with a description for every key."""
    tree = Recipe.model_json_schema()
    for name in ("DedupSettings", "TokenizerSettings"):
        tree["$defs"][name]["properties"].pop(_SHARED)
    with_names(tree)
    tree["required"].remove("name")  # the file's name takes its place
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **tree}
