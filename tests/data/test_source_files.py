"""Signals that go by a file's language: comments, and what of HTML is seen, beside the standard library's readers."""

from __future__ import annotations

import io
import sys
import tokenize
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import filter as filtering
from firn.data import measure as measuring
from firn.data.kernels import Context, View, measure
from firn.data.rules import RulesSettings

sys.path.insert(0, str(Path(__file__).parent))
from shards import read, row, shard


def measured(text: str, language: str | None) -> dict[str, float]:
    view = View(np.frombuffer(text.encode(), np.uint8), None, Context(language=language))
    fraction, characters, comments = measure(view, ("source_files",)).tolist()
    return {"fraction": fraction, "characters": characters, "comments": comments * max(len(text), 1)}


def comments_of(text: str) -> int:
    """Characters of comments and of strings in triple quotes that begin a line, by Python's own tokenizer."""
    count = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begins = token.line[: token.start[1]].strip() == ""
        is_text = token.type == tokenize.STRING and token.string.lstrip("rRuU")[:3] in ('"' * 3, "'" * 3)
        if token.type == tokenize.COMMENT:
            count += len(token.string)
        elif is_text and begins:
            count += len(token.string.lstrip("rRuU"))
    return count


@pytest.mark.parametrize("name", ["json/decoder.py", "textwrap.py", "tokenize.py", "csv.py", "this.py", "ast.py"])
def test_comments_of_python_are_those_of_its_tokenizer(name: str) -> None:
    text = (Path(io.__file__).parent / name).read_text()
    assert measured(text, "Python")["comments"] == pytest.approx(comments_of(text))


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        ("x = 1 // one\n", 6),
        ("/* a\n b */ x()", 10),
        ("s = \"// no\" + '/* no */'; // é", 4),
        ("`a // ${b} \n /* no */`\n//c", 3),
        (r's = "\"// no"; // c', 4),
        ("// open", 7),
        ("/* open", 7),
        ("a / b / c", 0),
        ("", 0),
    ],
)
def test_comments_behind_slashes(text: str, comments: int) -> None:
    assert measured(text, "JavaScript")["comments"] == pytest.approx(comments)
    assert measured(text, "Haskell")["comments"] == 0
    assert measured(text, None)["comments"] == 0


class Seen(HTMLParser):
    """The text that a browser would show, as Python's reader of HTML finds it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found, self._within = "", False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._within = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.found += data


def test_what_of_html_is_seen() -> None:
    page = (
        "<!DOCTYPE html><html><head><style>p > a {color: red}</style><title>Ice</title></head><body class='a>b'>"
        '<p title="x > y">The snow of one winter</p><!-- <p>not seen</p> --><script>if (a < b) { x(); }</script>\n'
        "is not ü ice.</body></html>"
    )
    seen = Seen()
    seen.feed(page)
    assert measured(page, "HTML") == {
        "characters": len(seen.found),
        "fraction": len(seen.found) / len(page),
        "comments": 0,
    }


@pytest.mark.parametrize("piece", ["<!--", "<script>", "<a '", '<a "', "<", "/*", '"""', "'", "`", "\\", "# ", "//"])
@pytest.mark.parametrize("language", ["HTML", "Python", "C"])
def test_hostile_files_take_linear_time(piece: str, language: str) -> None:
    assert np.isfinite(list(measured(piece * 200_000, language).values())).all()


def test_limits_go_by_the_files_language(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = "[\n" + "\n".join(f'{{"a": {n}}},' for n in range(600)) + "\n]"
    page = "<html>" + "<p></p>" * 100 + "text</html>"
    code = "def f(x):\n    return x + 1\n" * 40
    files = {"JSON": data, "HTML": page, "Python": code}
    rows = [row(name, text, meta=f'{{"language": "{name}"}}') for name, text in files.items()]
    documents = shard(store, [*rows, row("unknown", data, meta="{}")])
    for bounds, expected in (
        ({}, ["code.max_lines", "code.visible_share", None, None]),
        ({"code.min_comments": {"Python": 0.01}}, ["code.max_lines", "code.visible_share", "code.min_comments", None]),
    ):
        rules = RulesSettings(preset="code", bounds={**bounds, "code.letters": 0})  # type: ignore[dict-item]
        signals = execute(measuring.task(rules.measure, documents), store)
        inputs = (Input(documents, ("documents",)), Input(signals, ("signals",)))
        done = execute(Task(filtering.STAGE, rules.filter, inputs, "test"), store)
        assert [entry["rule"] for entry in read(store, done, "ledger").to_pylist()] == expected
        assert set(read(store, done).column("language").to_pylist()) == {None}  # no language of people
