"""The run page: nothing that a document says can act, and nothing personal is shown."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.serve.cleaning import Amount, Cleaning, Loss, Part, Passage
from firn.serve.page import Completion, Cost, Curve, Cut, Flow, Page, Rung, Sample, Share
from firn.serve.redact import visible
from firn.serve.report import render, write
from firn.serve.svg import funnel

HOSTILE = "<script>alert('snow')</script> write to jane.roe@example.org </td></table><img src=x onerror=go()> \u202e"
VERDICTS = {"kept": 7, "changed": 0, "split": 0, "merged": 0, "removed": 3, "failed": 0}
PAGE = Page(
    name="tiny",
    facts={"parameters": "1.2 M"},
    flows=[Flow("filter", "web", 10, 7, VERDICTS, {"gopher.min_words": 2, "language.accepted": 1})],
    mixture=[Share("web", 7, 4_000, 1_000, 100, 1.0, 3_000)],
    training=[Curve("loss", [(tokens, 9.0 - tokens / 1000) for tokens in range(0, 3000, 10)])],
    validation=[Curve("web", [(1000, 3.0), (3000, 2.0)])],
    ladder=[Rung("xz -9", {"web": 2.5}), Rung("this run's model", {"web": 2.0}, own=True)],
    completions=[Completion("The ", "snow")],
    kept=[Sample("web", "https://example.org/a", "A page about snow.")],
    removed=[Sample("web", "https://example.org/b", "Too short.", "gopher.min_words", 2.0, 50.0)],
    costs=[Cost("filter", 1, 0.5, 1 << 20, 1 << 10), Cost("train", 1, 60.0, 1 << 30, 0, 1e12)],
    recipe="name: tiny\n",
)


class Elements(HTMLParser):
    """Names of all elements, and all attributes with their values."""

    def __init__(self, page: str):
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def cleaning(text: str) -> Cleaning:
    some, fewer = Amount(10, 5_000, 1_200), Amount(7, 3_500, 840)
    part = Part(text, some, fewer, text)
    losses = [
        Loss(text, text, "removed", text, Amount(3, 1_400, 336)),
        Loss(text, text, "changed", text, Amount(1, -5, 0)),
    ]
    return Cleaning([Passage(text, text, some, fewer)], losses, [part], [part], [part], counted=False)


def everywhere(text: str) -> Page:
    """The page with `text` wherever text of others can stand."""
    return replace(
        PAGE,
        name=text,
        summary=text,
        facts={text: text},
        flows=[replace(PAGE.flows[0], source=text, rules={text: 3})],
        mixture=[replace(PAGE.mixture[0], source=text)],
        validation=[Curve(text, [(1000, 3.0)])],
        ladder=[Rung(text, {text: 2.5})],
        completions=[Completion(text, text)],
        kept=[Sample(text, text, text)],
        removed=[Sample(text, text, text, text, 1.0, 2.0)],
        cuts=[Cut(text, text, text, text, text, text, text)],
        cleaning=cleaning(text),
        recipe=text,
        notes=[text],
    )


def test_a_document_with_a_script_and_an_address_is_shown_escaped_and_without_the_address() -> None:
    page = render(everywhere(HOSTILE))
    elements = Elements(page)
    assert "&lt;script&gt;" in page
    assert not {"script", "img", "iframe", "object", "link"} & set(elements.names)
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "jane.roe" not in page
    assert "[e-mail]" in page
    assert "\u202e" not in page
    assert Elements(render(everywhere("snow"))).names == elements.names


@given(st.text(max_size=60))
def test_no_text_changes_what_the_page_is_made_of(text: str) -> None:
    plain = Elements(render(replace(PAGE, kept=[Sample("web", "here", "snow")])))
    page = Elements(render(replace(PAGE, kept=[Sample("web", "here", text)])))
    assert page.names == plain.names


def test_the_page_loads_nothing_and_its_policy_names_its_own_style_alone() -> None:
    page = render(PAGE)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert f"sha256-{digest}" in policy[1]
    attributes = Elements(page).attributes
    assert "style" not in {name for name, _ in attributes}  # the policy would not let it act
    links = [value or "" for name, value in attributes if name in ("href", "src", "action", "srcset")]
    assert links
    assert all(value.startswith("#") for value in links)


@pytest.mark.parametrize(
    "part", ["flows", "mixture", "training", "validation", "ladder", "completions", "kept", "removed", "costs"]
)
def test_a_part_that_is_not_there_yet_is_left_out(part: str) -> None:
    assert "<h1>tiny</h1>" in render(replace(PAGE, **{part: ()}))


def test_numbers_of_every_part_are_on_the_page() -> None:
    page = render(PAGE)
    for shown in ("gopher.min_words", "70%", "3.00", "2.500", "1.2 M", "this run&#39;s model", "1.00 TFLOP"):
        assert shown in page, shown


def test_the_cleaning_section_shows_what_each_rule_took_in_documents_text_and_tokens() -> None:
    page = render(
        replace(PAGE, cleaning=cleaning("gopher.min_words"), cuts=[Cut("web", "u", "filter", "edits", "a", "b", "c")])
    )
    for shown in ("−3", "−1.40 kB", "−336", "+5 B", "30%", "70%", "tokens are estimated", "a<del>b</del>c"):
        assert shown in page, shown
    counted = render(replace(PAGE, cleaning=replace(cleaning("x"), counted=True)))
    assert "tokens are estimated" not in counted


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    write(Page("empty", {}), tmp_path / "report.html")
    assert "empty" in (tmp_path / "report.html").read_text()


def test_what_could_reorder_or_hide_text_is_gone() -> None:
    assert visible("a\u202eb\u200bc\x00d\x1b[0m\n\te") == "abcd[0m\n\te"


def test_a_source_that_passes_a_stage_by_is_drawn_beside_it() -> None:
    flows = [
        Flow("filter", "code", 4, 4, VERDICTS, {}),
        Flow("dedup", "code", 4, 4, VERDICTS, {}),
        Flow("filter", "web", 10, 7, VERDICTS, {}),
        Flow("urls", "web", 7, 6, VERDICTS, {}),
        Flow("dedup", "web", 6, 6, VERDICTS, {}),
    ]
    drawn = funnel(flows, {"code": 0, "web": 1})
    assert drawn is not None
    assert re.findall(r'class="stage"[^>]*>(\w+)<', drawn) == ["filter", "urls", "dedup"]
    assert "code: 4 into urls, 4 out" in drawn
