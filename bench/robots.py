"""robots.txt: firn beside Protego, the parser of Scrapy: time per file and per URL, and where the verdicts differ.

    pip install protego && python bench/robots.py [--files 2000] [--turns 5]

Both are asked for the same twenty robots, and take turns in one process; times are medians over turns. The files: what
WordPress writes; a long one of many robots and patterns; and two that mean ill, of 2,000 robots with 2,000 rules and of
30,000 patterns with wildcards. Then random files, of which every disagreement is counted and some are shown: a record
that is neither name nor rule ends a group for Protego and not for the RFC, and the two count the length of an encoded
pattern otherwise.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable
from statistics import median

from protego import Protego

from firn.data.robots.rules import Robots, place
from firn.data.robots.settings import training_agents

AGENTS = list(training_agents())
WORDPRESS = "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\n\nSitemap: https://x.example/s.xml\n"
LONG = "".join(f"User-agent: bot{n}\nDisallow: /\n\n" for n in range(40)) + "User-agent: *\n"
LONG += "".join(f"Disallow: /{n}{n}{n}/\nAllow: /*/x{n}$\n" for n in range(60))
MANY = "".join(f"User-agent: a{n}\n" for n in range(2000)) + "".join(f"Disallow: /{n}\n" for n in range(2000))
WILD = "User-agent: *\n" + "Disallow: /*a*b\n" * 30_000


def urls(count: int) -> list[str]:
    """Addresses of pages, some of which the files speak of."""
    seeded = random.Random(1)
    folders = ["a", "wp-admin", "111", "blog/2024"]
    return [f"https://x.example/{seeded.choice(folders)}/{n}/some-title-of-a-page.html?x={n}" for n in range(count)]


def taken(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(name: str, body: str, pages: list[str], turns: int) -> None:
    """Time to read a file, and to ask it for all robots about a page."""
    gc.collect()  # what is left of the file before takes time to be looked through
    firn, protego = Robots(body.encode(), AGENTS), Protego.parse(body)
    times: dict[str, list[float]] = {"read firn": [], "read protego": [], "ask firn": [], "ask protego": []}
    for _ in range(turns):
        times["read firn"].append(taken(lambda: Robots(body.encode(), AGENTS)))
        times["read protego"].append(taken(lambda: Protego.parse(body)))
        asked = taken(lambda: [firn.disallows(found[1]) for url in pages if (found := place(url))])
        times["ask firn"].append(asked / len(pages))
        asked = taken(lambda: [protego.can_fetch(url, agent) for url in pages for agent in AGENTS])
        times["ask protego"].append(asked / len(pages))
    for what in ("read", "ask"):
        one, other = (median(times[f"{what} {who}"]) * 1e6 for who in ("firn", "protego"))
        print(f"{name:<10} {what:<5} firn {one:>12,.1f} µs   protego {other:>14,.1f} µs   {other / one:>8,.1f} times")


def disagreements(files: int) -> None:
    """Random files of ASCII and others, for robots that are named and one that is not."""
    seeded, asked, found = random.Random(5), 0, []
    pieces = ["a", "b", "/", "*", "x", "ab", "?q=", "é", "%C3%A9", "%61"]

    def path(pieces: list[str]) -> str:
        return "/" + "".join(seeded.choices(pieces, k=seeded.randrange(6)))

    for _ in range(files):
        lines = []
        for _ in range(seeded.randrange(1, 12)):
            pattern = path(pieces) + seeded.choice(["", "", "$"])
            name = f"User-agent: {seeded.choice(['GPTBot', 'ccbot', '*', 'Foo'])}"
            other = seeded.choice(["", "# c", "Sitemap: https://x", "Crawl-delay: 3", "junk", "Disallow:"])
            rule = f"{seeded.choice(['Allow', 'Disallow'])}: {pattern}"
            lines.append(seeded.choices([name, other, rule], [5, 2, 13])[0])
        body = "\n".join(lines)
        for agent in ("GPTBot", "CCBot", "Zed"):
            url = f"https://x.example{path([piece for piece in pieces if piece != '*'])}"
            where = place(url)
            assert where is not None
            asked += 1
            mine, theirs = Robots(body.encode(), [agent]).disallows(where[1]) is None, Protego.parse(body)
            if mine != theirs.can_fetch(url, agent):
                found.append((agent, url, mine, body))
    print(f"\n{files:,} random files: {asked - len(found):,} of {asked:,} verdicts are the same")
    for agent, url, mine, body in found[:3]:
        print(f"  {agent} {url}: firn {'lets it in' if mine else 'does not'}, Protego otherwise: {body!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="random files")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    compare("WordPress", WORDPRESS, urls(1000), given.turns)
    compare("long", LONG, urls(200), given.turns)
    compare("many", MANY, urls(20), 1)
    compare("wild", WILD, urls(20), 1)
    disagreements(given.files)


if __name__ == "__main__":
    main()
