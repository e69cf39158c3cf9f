"""`firn show` on documents of a web crawl, whose raw records lie on a server."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from firn.run.cleaning import clean
from firn.run.collecting import collect
from firn.run.recipe import load
from firn.run.showing import raw_of, show

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "sources"))
from cc_server import CRAWL, make, serving

RECIPE = """
name: mine
sources:
  web: {{kind: commoncrawl, crawl: {crawl}, base: '{base}', files: 2, rules: {{preset: fineweb}}}}
engine: {{workers: 1}}
"""


def test_a_record_of_a_common_crawl_server(tmp_path: Path) -> None:
    make(tmp_path / "crawl")
    with serving(tmp_path / "crawl") as server:
        (tmp_path / "mine.yaml").write_text(RECIPE.format(crawl=CRAWL, base=server.url))
        recipe = load(tmp_path / "mine.yaml")
        clean(recipe, tmp_path / "runs", mode="quiet")
        document = collect(recipe, tmp_path / "runs", sample=1, mode="quiet").sample[0]
        file, _, place = document.address.partition("#bytes=")
        first, last = map(int, place.split("-"))
        expected = gzip.decompress((server.folder / file).read_bytes()[first : last + 1])
        asked = len(server.asked)
        for query in (document.id, document.address, document.url or ""):
            life = show(query, "mine", tmp_path / "runs", characters=5000)
            # An address is shown whole, so that it can be asked for again: its long names are no keys.
            assert life.address == life.about["address"] == life.chapters[0].address == document.address
            assert life.raw_where == f"{server.url}/{file}, bytes={place}"
            assert life.raw == expected.decode().replace("\r\n", "\n")
            assert life.raw_error is None
        assert raw_of(document.address, "mine", tmp_path / "runs") == expected
        assert {path for path, start in server.asked[asked:]} == {f"/{file}"}
