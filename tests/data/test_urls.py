"""Rules on URLs: blocklists in every form they come in, words and scores, and the settings that name them."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import pytest

from firn.core.errors import InputError, RecipeError
from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import filter as filtering
from firn.data import measure
from firn.data.rules import RulesSettings
from firn.data.urls import Blocklist, UrlRules, UrlSettings, keys, normal, read_lines

sys.path.insert(0, str(Path(__file__).parent))
from shards import read, row, shard

DOMAINS = b"bad.example\n# a comment\n192.0.2.7\nwww.other.example # why\n\n"
URLS = b"good.example/forum/adult\nhttp://site.example/page.html\n"


def archive(folder: Path) -> Path:
    path = folder / "adult.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("adult/domains", DOMAINS), ("adult/urls", URLS), ("adult/expressions", b"(a+)+$\n")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://bad.example/", True),
        ("https://www.BAD.example:8080/a?b=c#d", True),
        ("http://deep.down.bad.example/x", True),
        ("http://notbad.example/", False),
        ("http://example/", False),
        ("http://other.example/x", True),
        ("http://192.0.2.7/x", True),
        ("http://good.example/", False),
        ("http://good.example/forum/adult", True),
        ("http://good.example/forum/adult/deeper?x", True),
        ("http://good.example/forum/adults", False),
        ("https://site.example/page.html", True),
        ("http://[broken", False),
        ("", False),
    ],
)
def test_what_a_list_names(url: str, named: bool) -> None:
    assert Blocklist((DOMAINS + URLS).splitlines()).names(url) is named


@pytest.mark.parametrize(
    ("line", "url", "named"),
    [
        ("0.0.0.0 bad.example", "http://bad.example/", True),
        ("127.0.0.1\tbad.example".replace("\t", " "), "http://a.bad.example/", True),
        ("*.bad.example", "http://a.bad.example/", True),
        (".bad.example", "http://bad.example/", True),
        ("||bad.example^", "http://bad.example/x", True),
        ("a.be", "http://a.be/", True),
        ("! a comment of an ad blocker", "http://a.comment.of/", False),
        ("müller.example", "http://xn--mller-kva.example/", True),
        ("xn--mller-kva.example", "http://MÜLLER.example/x", True),
        ("site.example/watch?v=7", "http://site.example/watch?v=7", True),
        ("site.example/watch?v=7", "http://site.example/watch?v=8", False),
        ("site.example/watch?v=7", "http://site.example/watch", False),
        ("site.example/watch", "http://site.example/watch?v=7", True),
    ],
)
def test_how_others_write_entries(line: str, url: str, named: bool) -> None:
    assert Blocklist([line.encode()]).names(url) is named


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("these are words of prose, and no hosts\n" * 20)
    with pytest.raises(InputError, match=r"20 lines name no host.*prose"):
        Blocklist(read_lines(path))
    few = [b"site%d.example" % number for number in range(200)]
    assert Blocklist([*few, b"what is this", b"-", b"..."]).names("http://site7.example/")


def test_an_archive_of_several_categories_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "all.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("blacklists/adult/domains", "blacklists/adult/urls", "blacklists/gambling/domains"):
            member = tarfile.TarInfo(name)
            member.size = len(DOMAINS)
            tar.addfile(member, io.BytesIO(DOMAINS))
    with pytest.raises(InputError, match=r"several categories: blacklists/adult, blacklists/gambling"):
        Blocklist(read_lines(path))


def test_the_root_of_ut1_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "ut1" / "adult").mkdir(parents=True)
    (tmp_path / "ut1" / "adult" / "domains").write_bytes(DOMAINS)
    rules = RulesSettings(preset="fineweb", blocklists={"adult": str(tmp_path / "ut1")})
    with pytest.raises(InputError, match=r"ut1/adult"):
        assert rules.files


def test_every_form_of_a_list_holds_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "list.txt", tmp_path / "list.gz"
    plain.write_bytes(DOMAINS + URLS)
    packed.write_bytes(gzip.compress(DOMAINS + URLS))
    hashes = [Blocklist(read_lines(path)).hashes.tolist() for path in (plain, packed, archive(tmp_path))]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(hashes[0]) == 5


def test_a_broken_list_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress(DOMAINS * 100)[:40])
    with pytest.raises(InputError, match="the list cannot be read"):
        Blocklist(read_lines(path))


def test_a_hostile_url_takes_few_steps() -> None:
    assert len(list(keys(*normal("http://" + "a." * 50_000 + "b/" + "x/" * 50_000)))) < 40


def test_scores_of_words() -> None:
    rules = UrlRules(UrlSettings(words={"sex": 1, "cam": 1, "porn": 2}, subwords={"livesex": 2}), {})
    assert rules.measure("http://essex.example/camera") == (0, 0, 0)
    assert rules.measure("http://x.example/sex-education") == (0, 1, 0)
    assert rules.measure("http://x.example/Sex/cam?porn") == (0, 4, 0)
    assert rules.measure("http://live-sex.example/") == (0, 1, 2)
    assert rules.measure(None) == (0, 0, 0)


@pytest.mark.parametrize("form", ["file", "folder", "archive"])
def test_documents_on_a_blocklist_are_removed(tmp_path: Path, form: str) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_bytes(DOMAINS)
    (tmp_path / "adult" / "urls").write_bytes(URLS)
    (tmp_path / "list.txt").write_bytes(DOMAINS + URLS)
    path = {"file": tmp_path / "list.txt", "folder": tmp_path / "adult", "archive": archive(tmp_path)}[form]
    off = {b.rule: "a test" for b in RulesSettings(preset="fineweb").filter.bounds if not b.rule.startswith("url.")}
    rules = RulesSettings(preset="fineweb", off=off, blocklists={"adult": str(path)})
    store = Store(tmp_path / "store")
    rows = [
        row("a", "text", url="http://bad.example/x"),
        row("b", "text", url="http://fine.example/x"),
        row("c", "text", url=None),
        row("d", "text", url="http://fine.example/xxx/"),
    ]
    documents = shard(store, rows)
    task = measure.task(rules.measure, documents, rules.files)
    inputs = (Input(documents, ("documents",)), Input(execute(task, store), ("signals",)))
    ledger = read(store, execute(Task(filtering.STAGE, rules.filter, inputs, "test"), store), "ledger").to_pylist()
    assert [(entry["verdict"], entry["rule"]) for entry in ledger] == [
        ("removed", "url.listed"),
        ("changed", "c4.few_words"),
        ("changed", "c4.few_words"),
        ("removed", "url.words"),
    ]


def test_the_content_of_a_list_counts_and_its_place_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    documents = shard(store, [row("a", "text")])
    prints = []
    for folder, data in (("one", DOMAINS), ("two", DOMAINS), ("three", DOMAINS + b"more.example\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "list.txt").write_bytes(data)
        rules = RulesSettings(preset="fineweb", blocklists={"adult": str(tmp_path / folder / "list.txt")})
        prints.append(measure.task(rules.measure, documents, rules.files).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no rules on URLs"):
        RulesSettings(preset="gopher", blocklists={"adult": "list.txt"})
    with pytest.raises(InputError, match="cannot be read"):
        assert RulesSettings(preset="fineweb", blocklists={"adult": str(tmp_path / "none")}).files
