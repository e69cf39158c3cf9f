"""What a robots.txt says of a URL: RFC 9309, Google's published tests, another way to match, hostile files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.robots.rules import LIMIT, Robots, is_robots_txt, place, reduced
from firn.data.robots.settings import RobotsSettings, training_agents

HOST = "http://foo.bar"


def allowed(robots: str | bytes, agent: str, path: str) -> bool:
    body = robots.encode() if isinstance(robots, str) else robots
    found = place(path if path.startswith("http:") else HOST + path)
    assert found is not None
    verdict = Robots(body, [agent]).disallows(found[1])
    # What is left of a file says the same as all of it.
    assert Robots(reduced(body), [agent]).disallows(found[1]) == verdict
    return verdict is None


# RFC 9309, section 5.1: the simple example.
SIMPLE = """\
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot

"""
# RFC 9309, section 5.2: the longest match.
LONGEST = """\
User-Agent: foobot
Allow: /example/page/
Disallow: /example/page/disallowed.gif
"""


@pytest.mark.parametrize(
    ("robots", "agent", "yes", "no"),
    [
        (SIMPLE, "foobot", ["/example/page.html", "/example/allowed.gif"], ["/", "/x", "/example/x.gif"]),
        (SIMPLE, "barbot", ["/", "/example/x.gif"], ["/example/page.html"]),
        (SIMPLE, "bazbot", ["/", "/example/x.gif"], ["/example/page.html"]),
        (SIMPLE, "quxbot", ["/", "/example/", "/example/x.gif"], []),
        (SIMPLE, "other", ["/", "/publications/x", "/x.gif?"], ["/example/", "/x.gif", "/example/page.html"]),
        (LONGEST, "foobot", ["/example/page/", "/x"], ["/example/page/disallowed.gif"]),
    ],
)
def test_the_examples_of_the_rfc(robots: str, agent: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes + no if allowed(robots, agent, path)] == yes


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        # Section 2.2.2, table 1, and a URL as people write it.
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https://foo.bar"),
        ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https%3a%2f%2ffoo.bar"),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
        ("/foo/bar/ツ", "/foo/bar/ツ"),
        ("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        # Section 2.2.3, tables 2 and 3.
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
        ("/path/foo-%24", "/path/foo-$"),
        ("/this/*/exactly", "/this/and/that/exactly"),
        ("/this/path/exactly$", "/this/path/exactly"),
    ],
)
def test_spellings_of_one_url(pattern: str, url: str) -> None:
    assert not allowed(f"User-agent: *\nDisallow: {pattern}", "any", url)


def test_what_is_reserved_means_something_else_where_it_is_encoded() -> None:
    assert allowed("User-agent: *\nDisallow: /a%2Fb", "any", "/a/b")
    assert allowed("User-agent: *\nDisallow: /this/path/exactly$", "any", "/this/path/exactly/not")


GROUPS = """\
allow: /foo/bar/

user-agent: FooBot
disallow: /
allow: /x/
user-agent: BarBot
disallow: /
allow: /y/


allow: /w/
user-agent: BazBot

user-agent: FooBot
allow: /z/
disallow: /
"""
GLOBAL = "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n"
SPECIFIC = "user-agent: FooBot\nallow: /\nuser-agent: BarBot\ndisallow: /\nuser-agent: BazBot\ndisallow: /\n"
SPACES = "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n"
FISH = ["/fish", "/fish.html", "/fish/salmon.html", "/fishheads", "/fishheads/yummy.html", "/fish.html?id=anything"]
NO_FISH = ["/bar", "/Fish.asp", "/catfish", "/?id=fish"]
BOT = "user-agent: FooBot\n"


@pytest.mark.parametrize(
    ("robots", "agent", "yes", "no"),
    [
        ("", "FooBot", ["/", "/x/y"], []),
        (f"{BOT}disallow: /\n", "FooBot", [], ["/x/y", "http://foo.bar"]),
        ("foo: FooBot\nbar: /\n", "FooBot", ["/x/y"], []),
        ("user-agent FooBot\ndisallow /\n", "FooBot", [], ["/x/y"]),
        (GROUPS, "FooBot", ["/x/b", "/z/d"], ["/y/c", "/foo/bar/"]),
        (GROUPS, "BarBot", ["/y/c", "/w/a"], ["/z/d", "/foo/bar/"]),
        (GROUPS, "BazBot", ["/z/d"], ["/foo/bar/"]),
        ("USER-AGENT: FooBot\nALLOW: /x/\nDISALLOW: /\n", "FooBot", ["/x/y"], ["/a/b"]),
        ("uSeR-aGeNt: FooBot\nAlLoW: /x/\ndIsAlLoW: /\n", "FooBot", ["/x/y"], ["/a/b"]),
        ("User-Agent: FOO BAR\nAllow: /x/\nDisallow: /\n", "foo", ["/x/y"], ["/a/b"]),
        ("User-Agent: FoO bAr\nAllow: /x/\nDisallow: /\n", "Foo", ["/x/y"], ["/a/b"]),
        (SPACES, "Foo", ["/x/y"], ["/y"]),
        (SPACES, "Foo Bar", [], ["/x/y"]),
        (GLOBAL, "FooBot", [], ["/x/y"]),
        (GLOBAL, "BarBot", ["/x/y"], []),
        (SPECIFIC, "QuxBot", ["/x/y"], []),
        (f"{BOT}disallow: /x/\n", "FooBot", [], ["/x/y"]),
        (f"{BOT}disallow: /X/\n", "FooBot", ["/x/y"], []),
        (f"{BOT}disallow: /x/page.html\nallow: /x/\n", "FooBot", [], ["/x/page.html"]),
        (f"{BOT}allow: /x/page.html\ndisallow: /x/\n", "FooBot", ["/x/page.html"], ["/x/"]),
        (f"{BOT}disallow: \nallow: \n", "FooBot", ["/x/page.html"], []),
        (f"{BOT}disallow: /\nallow: /\n", "FooBot", ["/x/page.html"], []),
        (f"{BOT}disallow: /x\nallow: /x/\n", "FooBot", ["/x/"], ["/x"]),
        (f"{BOT}disallow: /x/page.html\nallow: /x/page.html\n", "FooBot", ["/x/page.html"], []),
        (f"{BOT}allow: /page\ndisallow: /*.html\n", "FooBot", ["/page"], ["/page.html"]),
        (f"{BOT}allow: /x/page.\ndisallow: /*.html\n", "FooBot", ["/x/page.html"], ["/x/y.html"]),
        (f"User-agent: *\nDisallow: /x/\n{BOT}Disallow: /y/\n", "FooBot", ["/x/page"], ["/y/page"]),
        (
            f"{BOT}Disallow: /\nAllow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par\n",
            "FooBot",
            ["/foo/bar?qux=taz&baz=http://foo.bar?tar&par"],
            [],
        ),
        (f"{BOT}Disallow: /\nAllow: /foo/bar/ツ\n", "FooBot", ["/foo/bar/%E3%83%84"], []),
        (f"{BOT}Disallow: /\nAllow: /foo/bar/%E3%83%84\n", "FooBot", ["/foo/bar/%E3%83%84"], []),
        (f"{BOT}Disallow: /\nAllow: /foo/bar/%62%61%7A\n", "FooBot", ["/foo/bar/%62%61%7A"], []),
        (
            f"{BOT}Disallow: /foo/bar/quz\nAllow: /foo/*/qux\n",
            "FooBot",
            ["/foo/quz", "/foo//quz", "/foo/bax/quz"],
            ["/foo/bar/quz"],
        ),
        (
            f"{BOT}Disallow: /foo/bar$\nAllow: /foo/bar/qux\n",
            "FooBot",
            ["/foo/bar/qux", "/foo/bar/", "/foo/bar/baz"],
            ["/foo/bar"],
        ),
        (f"{BOT}# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /\n", "FooBot", ["/foo/bar"], ["/foo/quz"]),
        (f"{BOT}disallow: /\nallow: /fish\n", "FooBot", FISH, NO_FISH),
        (f"{BOT}disallow: /\nallow: /fish*\n", "FooBot", FISH, NO_FISH),
        (
            f"{BOT}disallow: /\nallow: /fish/\n",
            "FooBot",
            ["/fish/", "/fish/salmon", "/fish/?salmon", "/fish/salmon.html", "/fish/?id=anything"],
            ["/bar", "/fish", "/fish.html", "/Fish/Salmon.html"],
        ),
        (
            f"{BOT}disallow: /\nallow: /*.php\n",
            "FooBot",
            ["/filename.php", "/folder/filename.php", "/folder/filename.php?parameters", "//folder/any.php.file.html",
             "/filename.php/", "/index?f=filename.php/"],
            ["/bar", "/php/", "/index?php", "/windows.PHP"],
        ),
        (
            f"{BOT}disallow: /\nallow: /*.php$\n",
            "FooBot",
            ["/filename.php", "/folder/filename.php"],
            ["/bar", "/filename.php?parameters", "/filename.php/", "/filename.php5", "/php/", "/filename?php",
             "/aaaphpaaa", "//windows.PHP"],
        ),
        (
            f"{BOT}disallow: /\nallow: /fish*.php\n",
            "FooBot",
            ["/fish.php", "/fishheads/catfish.php?parameters"],
            ["/bar", "/Fish.PHP"],
        ),
        (f"{BOT}allow: /p\ndisallow: /\n", "FooBot", ["http://example.com/page"], []),
        (f"{BOT}allow: /folder\ndisallow: /folder\n", "FooBot", ["http://example.com/folder/page"], []),
        (f"{BOT}allow: /page\ndisallow: /*.htm\n", "FooBot", [], ["http://example.com/page.htm"]),
        (f"{BOT}allow: /$\ndisallow: /\n", "FooBot", ["http://example.com/"], ["http://example.com/page.html"]),
    ],
)  # fmt: skip
def test_as_google_published_it(robots: str, agent: str, yes: list[str], no: list[str]) -> None:
    """The cases of github.com/google/robotstxt, robots_test.cc, but for what is Google's own and not the RFC's: an
    `index.html` that stands for its folder, and lines that are cut at 16,664 bytes. Two cases there say that a raw
    `ツ` in a URL, and `baz` for a pattern `%62%61%7A`, do not match: the RFC says that they do."""
    assert [path for path in yes + no if allowed(robots, agent, path)] == yes


# The example of draft-ietf-aipref-attach-05, section 3.4.
USAGE = """\
User-Agent: *
Allow: /
Disallow: /never/
Content-Usage: train-ai=n
Content-Usage: /ai-ok/ train-ai=y

User-Agent: ExampleBot
Allow: /
Content-Usage: train-ai=y
"""
SIGNAL = "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n"


@pytest.mark.parametrize(
    ("robots", "agent", "yes", "no"),
    [
        (USAGE, "ExampleBot", ["/test", "/never/test", "/ai-ok/test"], []),
        (USAGE, "OtherBot", ["/ai-ok/test"], ["/test", "/never/test"]),
        (SIGNAL, "GPTBot", [], ["/", "/x"]),
        (SIGNAL + "User-agent: GPTBot\nAllow: /\n", "GPTBot", ["/", "/x"], []),
        ("Content-Signal: ai-train=no\n", "GPTBot", ["/x"], []),
        ("User-agent: *\nContent-Signal: ai-train=yes,search=no,ai-input=no\n", "GPTBot", ["/x"], []),
        ("User-agent: *\nContent-Signal: ai-input=no\nContent-Usage: search=n\n", "GPTBot", ["/x"], []),
        ("User-agent: *\nContent-Signal: AI-Train = No ;x=1\n", "GPTBot", [], ["/x"]),
        ("User-agent: *\nContent-Usage: /a train-ai=n\nContent-Usage: /a train-ai=y\n", "GPTBot", ["/"], ["/a"]),
        ("User-agent: *\nContent-Usage: /*.pdf$ train-ai=n, search=y\n", "GPTBot", ["/x.pdf?"], ["/x.pdf"]),
        ("User-agent: *\nContent-Usage:\nContent-Usage: /\nContent-Usage: train-ai=\n", "GPTBot", ["/x"], []),
        ("User-agent: GPTBot\nContent-Usage: train-ai=n\nUser-agent: *\nDisallow: /\n", "GPTBot", [], ["/x"]),
    ],
)
def test_what_may_be_fetched_and_is_not_for_training(robots: str, agent: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes + no if allowed(robots, agent, path)] == yes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_their_numbers(end: str) -> None:
    body = end.join(["User-Agent: foo", "Allow: /some/path", "User-Agent: bar", "", "", "Disallow: /"]).encode()
    found = Robots(body, ["bar"]).disallows(b"/x")
    assert found is not None
    assert (found[0], found[1].line, found[1].text) == ("bar", 6, "Disallow: /")


@pytest.mark.parametrize(
    ("mark", "obeyed"), [(b"\xef\xbb\xbf", True), (b"\xef\xbb", True), (b"\xef", True), (b"\xef\x11\xbf", False)]
)
def test_byte_order_marks(mark: bytes, obeyed: bool) -> None:
    assert allowed(mark + b"User-agent: foo\nDisallow: /\n", "foo", "/") is not obeyed


def test_a_robot_is_named_whole_and_of_several_the_first_that_may_not_is_told() -> None:
    body = b"User-agent: Applebot\nDisallow: /\n\nUser-agent: ccbot/2.0\nDisallow: /private # not yours\n"
    assert Robots(body, ["Applebot-Extended"]).disallows(b"/") is None
    robots = Robots(body, ["GPTBot", "CCBot", "applebot"])
    both, one = robots.disallows(b"/private/x"), robots.disallows(b"/public")
    assert both is not None
    assert one is not None
    assert (both[0], both[1].line, both[1].text) == ("CCBot", 5, "Disallow: /private # not yours")
    assert (one[0], one[1].line) == ("applebot", 2)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Example.COM:443/a?b#c", ("https://example.com", b"/a?b")),
        ("http://example.com:443", ("http://example.com:443", b"/")),
        ("HTTP://user:word@example.com.:80?q", ("http://example.com", b"/?q")),
        ("http://[::1]:8080/x", ("http://[::1]:8080", b"/x")),
        ("https://example.com:/é$*", ("https://example.com", b"/%C3%A9%24%2A")),
        ("ftp://example.com/", None),
        ("http://", None),
        ("example.com/x", None),
    ],
)
def test_places(url: str, expected: tuple[str, bytes] | None) -> None:
    assert place(url) == expected


def test_where_a_robots_txt_lies() -> None:
    urls = ["https://a.example/robots.txt", "http://a.example:8080/robots.txt?x#y"]
    others = ["https://a.example/x/robots.txt", "https://a.example/?/robots.txt", "https://a.example/robots.txt/"]
    assert [url for url in urls + others if is_robots_txt(url)] == urls


PIECES = st.lists(st.sampled_from(["/", "*", "$", "a", "b", "ab", "%41", "?"]), max_size=8).map("".join)


@given(st.lists(st.tuples(st.booleans(), PIECES), max_size=6), PIECES.map(lambda p: f"/{p.replace('*', 'c')}"))
def test_by_other_means(rules: list[tuple[bool, str]], path: str) -> None:
    """Regular expressions for patterns, and the definition of precedence word by word."""

    def plain(text: str) -> str:
        return text.replace("%41", "A")

    matching = []
    for allow, pattern in rules:
        end = pattern.endswith("$")
        pieces = (re.escape(plain(part)) for part in (pattern[:-1] if end else pattern).split("*"))
        if pattern and re.match(".*".join(pieces) + (r"\Z" if end else ""), plain(path), re.DOTALL):
            longer = len(plain(pattern)) + 2 * (plain(pattern)[:-1] if end else plain(pattern)).count("$")
            matching.append((longer, allow))
    expected = max(matching)[1] if matching else True
    body = "User-agent: *\n" + "".join(f"{'Allow' if allow else 'Disallow'}: {text}\n" for allow, text in rules)
    assert allowed(body, "any", path) is expected


@given(st.binary(max_size=300), st.text(max_size=60))
def test_anything_is_read(body: bytes, url: str) -> None:
    robots = Robots(body, ["GPTBot", "CCBot"])
    assert Robots(reduced(body), ["GPTBot", "CCBot"]).disallows(b"/x") == robots.disallows(b"/x")
    place(url)
    place(f"https://{url}")


AGENT = b"User-agent: *\n"


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (AGENT + b"Disallow: /*a*b*c\n" * 29_000, None),
        (AGENT + b"Disallow: /" + b"*a" * 250_000 + b"$", None),
        (AGENT + b"Disallow: " + b"*" * 500_000, "GPTBot"),
        (b"".join(b"User-agent: a%d\n" % n for n in range(12_000)) + AGENT + b"Disallow: /\n" * 30_000, "GPTBot"),
        (b"".join(b"Disallow: /%d\nUser-agent: *\n" % n for n in range(30_000)), None),
        (b"\n" * 600_000, None),
        (b"\x00\xff" * 400_000, None),
        (AGENT + b"Disallow: /%61" + b"%61" * 150_000, None),
        (AGENT + b"Content-Usage: " + b"train-ai=y," * 40_000 + b"train-ai=n", "GPTBot"),
        (AGENT + b"Content-Usage: train-ai" + b" " * 400_000 + b"=", None),
    ],
    ids=["wildcards", "one pattern", "stars", "robots", "groups", "ends", "binary", "encoded", "usage", "spaces"],
)
def test_hostile_files(body: bytes, refused: str | None) -> None:
    """Each takes well under a second; to go through rules for each robot, or back in a pattern, takes minutes."""
    robots = Robots(body, list(training_agents()))
    found = robots.disallows(b"/" + b"a" * 8_000)
    assert (found[0] if found else None) == refused


def test_bytes_beyond_the_limit_are_not_read_and_no_pattern_is_halved() -> None:
    first = AGENT + b"Disallow: /x\n"
    filler = b"#" * (LIMIT - len(first) - len(b"\nDisallow: /"))
    body = first + filler + b"\nDisallow: /private\n"
    assert body[:LIMIT].endswith(b"Disallow: /")
    assert not allowed(body, "any", "/x")
    assert allowed(body, "any", "/y")
    assert allowed(b"x" * (LIMIT + 1), "any", "/y")


def test_robots_by_default_are_names_with_a_source_each() -> None:
    assert RobotsSettings().agents == tuple(training_agents())
    assert {"GPTBot", "ClaudeBot", "CCBot", "Google-Extended"} <= set(training_agents())
    assert all("https://" in source for source in training_agents().values())
    for agents in (["GPTBot/1.0"], [], ["CCBot", "ccbot"], ["*"]):
        with pytest.raises(ValueError):
            RobotsSettings(agents=agents)
