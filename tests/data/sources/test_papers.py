"""The source `papers`: files, folders and archives of papers, whole and hostile."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firn.core.engine import LocalEngine
from firn.core.hashing import document_id
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.markup import elsevier, mathml, xml
from firn.data.markup.jats import Include
from firn.data.sources import PapersSource, papers

sys.path.insert(0, str(Path(__file__).parents[1]))
from shards import Inline
from shards import read as table

Rows = list[dict[str, Any]]
ARTICLE = (
    b"<article><front><article-meta><title-group><article-title>%s</article-title></title-group></article-meta></front>"
    b"<body><p>%s</p></body></article>"
)
LATEX = "\\documentclass{article}\\title{%s}\\begin{document}\\input{body}\\end{document}"


def run(store: Path, *paths: str | Path, **settings: Any) -> tuple[Rows, Rows]:
    """Documents and ledger rows."""
    engine = Inline(Store(store))
    source = PapersSource(paths=tuple(map(str, paths)), **settings)
    manifests = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, ledger


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as target:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return out.getvalue()


def folder(root: Path) -> Path:
    """Papers of all kinds."""
    (root / "tex" / "parts").mkdir(parents=True)
    (root / "review").mkdir()
    (root / "a.xml").write_bytes(ARTICLE % (b"A", b"alpha"))
    (root / "b.nxml.gz").write_bytes(gzip.compress(ARTICLE % (b"B", b"beta")))
    (root / "other.xml").write_bytes(b"<html><body/></html>")
    (root / "broken.xml").write_bytes(b"<article><front>")
    (root / "bomb.xml").write_bytes(b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><a>&b;</a>')
    (root / "tex" / "1707.08043.tex").write_text(LATEX % "L")
    (root / "tex" / "body.tex").write_text("lambda \\input{parts/more}")
    (root / "tex" / "parts" / "more.tex").write_text("mu")
    (root / "note.md").write_text("---\ntitle: N\ndate: 2020-02-02\n---\nnu\n")
    (root / "README.md").write_text("about")
    (root / "review" / "metadata.yaml").write_text("title: R\nlang: en\n")
    (root / "review" / "02.b.md").write_text("## B\n\nsecond\n")
    (root / "review" / "01.a.md").write_text("## A\n\nfirst [@doi:10.1/x]\n")
    (root / "review" / "90.back-matter.md").write_text("## References\n")
    (root / "picture.png").write_bytes(b"x")
    (root / "link.xml").symlink_to("/etc/hostname")
    source = tarred(
        {"main.tex": (LATEX % "T").encode(), "body.tex": b"tau", "._main.tex": b"\x00", "fig.pdf": b"%PDF-"}
    )
    (root / "2004.14974.gz").write_bytes(source)
    (root / "single.gz").write_bytes(gzip.compress(b"\\documentclass{a}\\begin{document}sigma\\end{document}"))
    (root / "pmc.tar.gz").write_bytes(
        tarred({"x/c.nxml": ARTICLE % (b"C", b"chi"), "x/c.jpg": b"", "../e.xml": b"", "2001.00001.gz": source})
    )
    with zipfile.ZipFile(root / "more.zip", "w") as target:
        target.writestr("z/d.xml", ARTICLE % (b"D", b"delta"))
    (root / "cut.tar.gz").write_bytes(tarred({"a.xml": b"<a/>" * 9_000})[:60])
    return root


def test_every_kind_of_paper(tmp_path: Path) -> None:
    documents, ledger = run(tmp_path / "store", folder(tmp_path / "papers"))
    texts = {row["address"]: row["text"] for row in documents}
    assert texts == {
        "a.xml": "# A\n\nalpha",
        "b.nxml.gz": "# B\n\nbeta",
        "tex": "# L\n\nlambda mu",
        "note.md": "# N\n\nnu",
        "review": "# R\n\n## A\n\nfirst\n\n## B\n\nsecond",
        "2004.14974.gz": "# T\n\ntau",
        "single.gz": "sigma",
        "pmc.tar.gz#x/c.nxml": "# C\n\nchi",
        "pmc.tar.gz#2001.00001.gz": "# T\n\ntau",
        "more.zip#z/d.xml": "# D\n\ndelta",
    }
    others = {row["address"]: (row["verdict"], row["rule"]) for row in ledger if row["verdict"] != "kept"}
    assert others == {
        "other.xml": ("removed", "papers.not_a_paper"),
        "README.md": ("removed", "papers.not_a_paper"),
        "broken.xml": ("failed", None),
        "bomb.xml": ("failed", None),
        "link.xml": ("removed", "papers.link"),
        "pmc.tar.gz#../e.xml": ("removed", "papers.outside"),
        "cut.tar.gz": ("failed", None),
    }
    by = {row["address"]: row for row in documents}
    arxiv = by["2004.14974.gz"]
    assert (arxiv["group"], arxiv["url"]) == ("arXiv:2004.14974", "https://arxiv.org/abs/2004.14974")
    assert (arxiv["published"], arxiv["date_method"]) == (datetime(2020, 4, 1, tzinfo=UTC), "arXiv number")
    assert by["note.md"]["published"] == datetime(2020, 2, 2, tzinfo=UTC)
    assert by["a.xml"]["id"] == document_id("a.xml", 0, ARTICLE % (b"A", b"alpha"))
    assert all(row["crawled"] is None for row in documents)


def paper(title: str, text: str = "\\input{body}") -> str:
    return f"\\documentclass{{article}}\\title{{{title}}}\\begin{{document}}{text}\\end{{document}}"


def test_a_stray_file_above_papers_makes_no_paper_of_them_all(tmp_path: Path) -> None:
    root = tmp_path / "arxiv"
    for number in ("2101.00001", "2101.00002v2"):
        (root / number / "parts").mkdir(parents=True)
        (root / number / "main.tex").write_text(paper(number))
        (root / number / "body.tex").write_text("before \\input{parts/more}")
        (root / number / "parts" / "more.tex").write_text(f"text of {number}")
    (root / "macros.tex").write_text("\\newcommand{\\x}{y}")
    (root / "flat").mkdir()
    for number in ("2101.00003", "2101.00004"):
        (root / "flat" / f"{number}.tex").write_text(paper(number, f"text of {number}"))
    documents, _ = run(tmp_path / "store", root)
    by = {row["address"]: row for row in documents}
    for name, number in (
        ("2101.00001", "2101.00001"),
        ("2101.00002v2", "2101.00002"),
        ("flat/2101.00003.tex", "2101.00003"),
        ("flat/2101.00004.tex", "2101.00004"),
    ):
        assert by[name]["url"] == f"https://arxiv.org/abs/{number}"
        assert by[name]["group"] == f"arXiv:{number}"
        assert f"text of {number}" in by[name]["text"]
        assert "missing_files" not in json.loads(by[name]["meta"])


def test_papers_side_by_side_below_a_stray_file_find_what_they_include(tmp_path: Path) -> None:
    root = tmp_path / "papers"
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        (root / name / "main.tex").write_text(paper(name, "\\usepackage{own}\\input{body}\\input{../shared}"))
        (root / name / "body.tex").write_text(f"text of {name} \\it")
        (root / name / "own.sty").write_text(f"\\newcommand{{\\it}}{{macro of {name}}}")
    (root / "shared.tex").write_text("of both")
    documents, _ = run(tmp_path / "store", root)
    assert {(row["address"], row["group"]) for row in documents} == {
        ("papers", "papers/one/main.tex"),
        ("papers#part=1", "papers/two/main.tex"),
    }
    for row in documents:
        name = row["group"].split("/")[1]
        assert f"text of {name} macro of {name}" in row["text"]
        assert "of both" in row["text"]


def test_papers_within_a_paper_stay_with_it(tmp_path: Path) -> None:
    def article(doi: str, inner: str = "") -> str:
        front = f"<article-id pub-id-type='doi'>{doi}</article-id><title-group><article-title/></title-group>"
        return f"<article><front><article-meta>{front}</article-meta></front><body><p>{doi}</p></body>{inner}</article>"

    letter = "<front-stub><article-id pub-id-type='doi'>10.1/7d</article-id></front-stub><body><p>letter</p></body>"
    inner = f"<sub-article>{letter}</sub-article><response><body><p>response</p></body></response>"
    root = tmp_path / "papers"
    root.mkdir()
    (root / "a.xml").write_text(article("10.1/A", inner))
    (root / "set.xml").write_text(f"<pmc-articleset>{article('10.1/b')}{article('10.1/c', inner)}</pmc-articleset>")
    documents, _ = run(tmp_path / "store", root)
    by = {row["address"]: row for row in documents}
    assert {address: row["group"] for address, row in by.items()} == {
        "a.xml": "10.1/a",  # DOIs know no case
        "a.xml#part=1": "10.1/a",
        "a.xml#part=2": "10.1/a",
        "set.xml": "10.1/b",
        "set.xml#part=1": "10.1/c",
        "set.xml#part=2": "10.1/c",
        "set.xml#part=3": "10.1/c",
    }
    for address, parent in {"a.xml": None, "a.xml#part=2": "a.xml", "set.xml#part=1": None}.items():
        assert by[address]["parent"] == (by[parent]["id"] if parent else None)
    assert by["set.xml#part=3"]["parent"] == by["set.xml#part=1"]["id"]
    documents, _ = run(tmp_path / "named", root, group=r"\w+")
    assert {row["group"] for row in documents} == {"a", "set"}


def test_a_supplement_stays_with_its_paper(tmp_path: Path) -> None:
    root = tmp_path / "papers" / "mine"
    (root / "more").mkdir(parents=True)
    for name in ("main.tex", "response.tex", "more/supplement.tex"):
        (root / name).write_text(paper(name, f"text of {name}" + "." * (name == "main.tex")))
    documents, _ = run(tmp_path / "store", root.parent)
    assert [(row["part"], row["group"]) for row in documents] == [(0, "mine"), (1, "mine"), (2, "mine")]
    first = documents[0]["id"]
    assert [row["parent"] for row in documents] == [None, first, first]


def test_a_gzip_file_that_is_no_latex_is_no_paper(tmp_path: Path) -> None:
    root = tmp_path / "papers"
    root.mkdir()
    others = {"ps": b"%!PS-Adobe-2.0", "html": b"<!DOCTYPE html>\n<html>", "elf": b"\x7fELF\0\0"}
    others["2101.00009"] = b"%auto-ignore\nThis paper has been withdrawn.\n"
    for name, data in others.items():
        (root / f"{name}.gz").write_bytes(gzip.compress(data))
    (root / "twice.gz").write_bytes(gzip.compress(tarred({"main.tex": paper("T", "tau").encode()})))
    documents, ledger = run(tmp_path / "store", root)
    assert [(row["address"], row["text"]) for row in documents] == [("twice.gz", "# T\n\ntau")]
    assert {row["address"] for row in ledger if row["rule"] == "papers.not_a_paper"} == {
        f"{name}.gz" for name in others
    }


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "zeros.xml"
    with source.open("wb") as file:
        file.truncate(20 << 20)
    subprocess.run(["tar", "--sparse", "-cf", tmp_path / "sparse.tar", "-C", tmp_path, "zeros.xml"], check=True)
    assert (tmp_path / "sparse.tar").stat().st_size < 1 << 20
    _, ledger = run(tmp_path / "store", tmp_path / "sparse.tar")
    assert [(row["verdict"], "sparse" in row["error"]) for row in ledger] == [("failed", True)]


def test_sizes_are_limits(tmp_path: Path) -> None:
    root = tmp_path / "papers"
    root.mkdir()
    (root / "big.xml").write_bytes(ARTICLE % (b"A", b"x" * 2_000))
    (root / "bomb.gz").write_bytes(gzip.compress(bytes(200 << 20)))
    (root / "in.tar").write_bytes(tarred({"big.xml": ARTICLE % (b"A", b"x" * 2_000)}, "w"))
    documents, ledger = run(tmp_path / "store", root, max_bytes=1_000)
    assert documents == []
    assert {row["address"]: (row["rule"], row["verdict"]) for row in ledger} == {
        "big.xml": ("papers.too_large", "removed"),
        "in.tar#big.xml": ("papers.too_large", "removed"),
        "bomb.gz": (None, "failed"),
    }


def test_an_archive_that_is_too_large_to_be_held_gives_the_same_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "papers"
    root.mkdir()
    files = {}
    for number in range(5):
        files[f"{number}/main.tex"] = (LATEX % number).encode()
    for number in reversed(range(5)):  # the parts of each lie far from one another
        files[f"{number}/body.tex"] = f"body {number}".encode()
    files["4/big.tex"] = b"%" * 3_000
    (root / "a.tar").write_bytes(tarred({**files, "note.md": b"# N\n\nnu\n"}, "w"))
    (root / "cut.tar").write_bytes(tarred(files, "w")[:8_000])
    whole, _ = run(tmp_path / "store", root)
    monkeypatch.setattr(papers, "MAX_KEPT", 100)
    parts, _ = run(tmp_path / "other", root)
    key = lambda row: row["id"]
    assert sorted(parts, key=key) == sorted(whole, key=key)
    assert len([row for row in whole if row["address"].startswith("a.tar")]) == 6
    monkeypatch.setattr(papers, "MAX_SOURCE", 2_000)
    parts, ledger = run(tmp_path / "third", root / "a.tar")
    assert len(parts) == 5
    assert [row["address"] for row in ledger if row["rule"] == "papers.too_large"] == ["a.tar#4"]


def test_two_workers_write_what_one_does(tmp_path: Path) -> None:
    root = folder(tmp_path / "papers")
    hashes = []
    for workers in (1, 2):
        with LocalEngine(Store(tmp_path / f"store{workers}"), workers=workers) as engine:
            source = PapersSource(paths=(str(root),))
            manifests = engine.run(read.tasks("mine", source, ExtractSettings(), engine))
            hashes.append([(m.fingerprint, sorted(f.hash for f in m.files.values())) for m in manifests])
    assert hashes[0] == hashes[1]


def test_articles_of_plos(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    documents, _ = run(tmp_path, shared_data("papers/plos.tar.gz"))
    assert len(documents) == 122
    text = "\n\n".join(row["text"] for row in documents)
    assert len(text) > 5_000_000
    prose = re.sub(r"\$\$?[^$]*\$\$?", "", text)
    assert not re.search(r"</?(?:p|xref|italic|sec|fig|title|sub|sup)\b|&[a-z]+;", prose)
    assert all(row["published"] and row["url"] for row in documents)
    assert sum(row["license"] is not None for row in documents) >= 121
    assert Counter(row["date_method"] for row in documents) == {"article metadata": 122}


def test_words_of_elsevier_articles_are_the_reference_s(shared_data: Callable[[str], Path]) -> None:
    """Word F1 (multiset of \\w+, lower case) against the text that the corpus gives for each article, which has neither
    captions nor tables and writes formulas without LaTeX."""

    def words(text: str) -> Counter[str]:
        return Counter(re.findall(r"\w+", text.lower()))

    articles: dict[str, bytes] = {}
    references: dict[str, str] = {}
    with tarfile.open(shared_data("papers/oa-stm.tar.gz")) as archive:
        for member in archive:
            name = member.name.rsplit("/", 1)[-1]
            if name.endswith(".norm-xml"):
                articles[name[:-9]] = archive.extractfile(member).read()  # type: ignore[union-attr]
            elif "SimpleText_auto" in member.name and name.endswith(".txt"):
                references[name[:-4]] = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
    scores = []
    for name, reference in sorted(references.items())[::4]:
        made = elsevier.work(xml.parse(articles[name]), Include(captions=False, tables=False, funding=True))
        ours, theirs = words(made.text), words(reference)
        scores.append(2 * (ours & theirs).total() / (ours.total() + theirs.total()))
    assert sum(scores) / len(scores) > 0.94
    assert sorted(scores)[len(scores) // 2] > 0.96


def test_formulas_of_elsevier_articles_are_balanced(shared_data: Callable[[str], Path]) -> None:
    with tarfile.open(shared_data("papers/oa-stm.tar.gz")) as archive:
        member = next(m for m in archive if m.name.endswith("S0001870813003265.norm-xml"))
        root = xml.parse(archive.extractfile(member).read())  # type: ignore[union-attr]
    formulas = [mathml.latex(math) for math in root.all("math")]
    assert len(formulas) > 1_000
    for formula in formulas:
        plain = formula.replace("\\{", "").replace("\\}", "")
        assert plain.count("{") == plain.count("}")
        assert not re.search(r"\\[a-zA-Z]+(?=[\u0370-\u03ff])", formula)


def test_arxiv_sources(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    documents, ledger = run(tmp_path, shared_data("papers/s2orc-latex"))
    assert [row["verdict"] for row in ledger] == ["kept", "kept"]
    text = next(row["text"] for row in documents if row["group"] == "arXiv:1911.02782")
    assert text.startswith(
        "# S2ORC: The Semantic Scholar Open Research Corpus\n\n## Abstract\n\nWe introduce S2ORC, a large"
    )
    assert "| PubMed Central (OA) | 2.6M | full text | yes | PubMed | bio, med |" in text
    assert "AAN (Radev et al., 2009)" in text
    assert "Färber (2019)" in text
    assert "$$J = \\frac{|N_1 \\cap N_2|}{|N_1 \\cup N_2|}$$" in text
    for row in documents:
        prose = re.sub(r"```.*?```|\$\$?[^$]*\$\$?", "", row["text"], flags=re.DOTALL)
        assert not re.findall(r"\\[a-zA-Z]+", prose)
        assert json.loads(row["meta"])["format"] == "latex"
