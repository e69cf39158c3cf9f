"""The model card: what it says, that the hub reads it, and that no text of a stranger becomes part of its form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard

import firn
from firn.run import training
from firn.run.card import _cell, card
from firn.run.composition import OTHERS, composition
from firn.run.folder import RunFolder
from firn.run.recipe import Recipe
from firn.run.starting import beginning
from firn.tokens.corpus import Corpus, SourceTokens, TokenFile, TokenStream
from firn.tokens.encode import Dates
from firn.tokens.mixture import BatchPlan, StageSettings


def folder(path: Path, name: str, licences: list[str | None], lengths: list[int]) -> SourceTokens:
    """A source whose training documents have these licences and lengths."""
    path.mkdir(exist_ok=True)
    file = path / f"{name}.parquet"
    language = pa.array(["en"] * len(lengths)).dictionary_encode()
    pq.write_table(
        pa.table({"length": lengths, "license": pa.array(licences, pa.string()), "language": language}), file
    )
    stream = TokenStream([TokenFile(lambda: file, sum(lengths), lambda: file)], np.dtype("<u2"), len(lengths))
    return SourceTokens(stream, TokenStream([], np.dtype("<u2")), {"crawled": Dates(1, "2024-01-01", "2024-01-01")})


def made(tiny: Any, corpus: Corpus, **result: Any) -> str:
    """The card of the tiny run, as if its corpus had been this one and its result had differed so."""
    run = RunFolder.open("tiny", tiny.runs)
    recipe, found = Recipe.model_validate(run.state["recipe"]), training.result(run)
    assert found is not None
    plan = BatchPlan(
        stages=(StageSettings(window=2, batch=1, tokens=8),),
        weights=dict.fromkeys(corpus.sources, 1.0),
        corpus=corpus.identity,
    )
    begin = beginning(recipe, tiny.runs)
    return card(recipe, begin, corpus, plan, replace(found, **result), {"web": {"xz": 1.25, "zlib": 1.5}})


@pytest.fixture
def tokenizer(tiny: Any) -> Any:
    return training.opened(RunFolder.open("tiny", tiny.runs))[0].tokenizer


def test_the_card_of_a_run_says_data_dates_compute_and_evaluation(tiny: Any) -> None:
    run = RunFolder.open("tiny", tiny.runs)
    found = training.result(run)
    assert found is not None
    text = (Path(tiny.outcome.model) / "README.md").read_text()
    data = ModelCard(text).data.to_dict()
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-generation"
    assert data["language"] == ["en"]
    assert "license" not in data
    assert "| web | unknown | 0% | 2024-05-18 to 2024-05-18 | 100% |" in text
    assert "| none known | 100% |" in text
    assert f"| parameters | {found.parameters:,} |" in text
    assert "| optimizer steps | 6 |" in text
    assert f"| device | cpu, {found.runtime['name']} |" in text
    assert "| precision | fp32, " in text
    xz = training.known_ladder(run, training.opened(run)[0])["web"]["xz"]
    assert "| source | bits per byte | zlib -9 | xz -9 |" in text
    assert f"| {found.validation['web']['bits_per_byte']:.3f} | " in text
    assert f" | {xz:.3f} |" in text
    assert f"firn {firn.__version__}, recipe " in text
    assert found.files["README.md"]


def test_what_the_clock_says_changes_no_byte_of_it(tiny: Any, tmp_path: Path, tokenizer: Any) -> None:
    corpus = Corpus(
        {"web": folder(tmp_path, "web", ["MIT"], [10]), "code": folder(tmp_path, "code", ["MIT"], [10])}, tokenizer, "x"
    )
    assert made(tiny, corpus, seconds=1.0) == made(tiny, corpus, seconds=2.0)
    assert made(tiny, corpus, bad=[{}]) != made(tiny, corpus)


def test_a_licence_that_all_tokens_have_is_told_to_the_hub(tiny: Any, tmp_path: Path, tokenizer: Any) -> None:
    web = folder(tmp_path, "web", ["https://creativecommons.org/licenses/by-sa/4.0/"], [10])
    code = folder(tmp_path, "code", ["CC-BY-SA-4.0"], [10])
    text = made(tiny, Corpus({"web": web, "code": code}, tokenizer, "x"))
    assert "license" not in ModelCard(text).data.to_dict()  # two names of it: nobody has said that they are one
    text = made(tiny, Corpus({"web": code, "code": code}, tokenizer, "x"))
    assert ModelCard(text).data.to_dict()["license"] == "cc-by-sa-4.0"


def test_licences_are_shares_of_the_tokens_drawn(tmp_path: Path, tokenizer: Any) -> None:
    web = folder(tmp_path, "web", ["MIT", None, "MIT"], [20, 60, 20])
    code = folder(tmp_path, "code", ["MIT"] + [f"licence {n}" for n in range(1200)], [2800] + [1] * 1200)
    corpus = Corpus({"web": web, "code": code}, tokenizer, "x")
    plan = BatchPlan(
        stages=(StageSettings(window=1, batch=1, tokens=40),), weights={"code": 3.0, "web": 1.0}, corpus="x"
    )
    found = composition(corpus, plan, "license")
    assert sum(found.values()) == pytest.approx(1)
    assert found["MIT"] == pytest.approx(0.25 * 0.4 + 0.75 * 0.7)
    assert found[None] == pytest.approx(0.25 * 0.6)
    assert found[OTHERS] == pytest.approx(0.75 * 201 / 4000)  # 1,000 of them are told apart, with MIT
    assert list(found)[:2] == ["MIT", None]


@pytest.mark.parametrize(
    "text", ["a | b", "<script>", "[x](http://y)", "a\n---\n# b", "`a`", "![x](y)", "\u202eabc", "\x1b[31m"]
)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    cell = _cell(text)
    assert not set(cell) & set("|<>[]`\n\x1b\u202e")


def test_a_stranger_s_licence_is_no_markup(tiny: Any, tmp_path: Path, tokenizer: Any) -> None:
    evil = folder(tmp_path, "web", ["MIT\n---\nlicense: gpl |\n<img src=x> mail jane.roe@example.org"], [10])
    text = made(tiny, Corpus({"web": evil, "code": evil}, tokenizer, "x"))
    assert "license" not in ModelCard(text).data.to_dict()
    assert "<img" not in text
    assert "jane.roe@example.org" not in text
