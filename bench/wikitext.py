"""Pages of MediaWiki markup to text on one core: firn beside mwparserfromhell's strip_code and gensim's filter_wiki.

    python bench/wikitext.py DUMP [DUMP ...]

The peers are measured where they are installed, all in one process, page by page in turn, so that what else the machine
does hits them alike. Of each text it counts the paragraphs with markup left in them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Callable

from firn.data.wikitext import Site, to_text
from firn.data.wikitext.dump import Dump, Page
from firn.data.wikitext.site import is_redirect

LEFT = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}|'''|</?(?:ref|br|div|span|table|small|su[bp])\b|style=")


def articles(path: str) -> list[tuple[Site, str, str]]:
    with open(path, "rb") as stream:
        dump = Dump(stream, 8 << 20)
        pages = [(dump.site, page) for page in dump if isinstance(page, Page)]
    return [(s, p.title, p.text) for s, p in pages if not p.namespace and not p.redirect and not is_redirect(p.text)]


def by_mwparserfromhell(site: Site, title: str, markup: str) -> str:
    import mwparserfromhell

    return str(mwparserfromhell.parse(markup).strip_code())


def by_gensim(site: Site, title: str, markup: str) -> str:
    from gensim.corpora.wikicorpus import filter_wiki

    return str(filter_wiki(markup))


def by_firn(site: Site, title: str, markup: str) -> str:
    return to_text(markup, site, title)


def main() -> None:
    ways: dict[str, Callable[[Site, str, str], str]] = {"firn": by_firn}
    if importlib.util.find_spec("mwparserfromhell"):
        ways["mwparserfromhell"] = by_mwparserfromhell
    if importlib.util.find_spec("gensim"):
        ways["gensim"] = by_gensim
    for path in sys.argv[1:]:
        pages = articles(path)
        spent = dict.fromkeys(ways, 0.0)
        left, paragraphs = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
        for site, title, markup in pages:
            for name, way in ways.items():
                started = time.process_time()
                text = way(site, title, markup)
                spent[name] += time.process_time() - started
                found = [line for line in text.split("\n") if line.strip() and "$" not in line]
                paragraphs[name] += len(found)
                left[name] += sum(LEFT.search(line) is not None for line in found)
        megabytes = sum(len(markup.encode()) for _, _, markup in pages) / 1e6
        print(f"{path.rsplit('/', 1)[-1]}: {len(pages)} articles, {megabytes:.1f} MB of markup")
        for name in ways:
            print(
                f"  {name:17} {len(pages) / spent[name]:7.1f} pages/s {megabytes / spent[name]:6.2f} MB/s"
                f"   firn is {spent[name] / spent['firn']:5.1f} times as fast"
                f"   markup in {left[name]} of {paragraphs[name]} paragraphs ({left[name] / paragraphs[name]:.3%})"
            )


if __name__ == "__main__":
    main()
