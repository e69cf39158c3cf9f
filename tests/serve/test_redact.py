"""Personal data leaves excerpts; ordinary text and code do not suffer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.serve.redact import excerpt, locator, redact


@pytest.mark.parametrize(
    ("secret", "placeholder"),
    [
        ("jane.doe+list@mail.example.org", "[e-mail]"),
        ("jane (at) example.org", "[e-mail]"),
        ("192.168.17.254", "[IP address]"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "[IP address]"),
        ("+49 (0)30 1234567", "[phone number]"),
        ("(212) 555-0123", "[phone number]"),
        ("212.555.0123", "[phone number]"),
        ("01.84.17.61.18", "[phone number]"),
        ("4111 1111 1111 1111", "[card number]"),
        ("078-05-1120", "[personal number]"),
        ("GB69PMNJ18913943430745", "[account number]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[key]"),
        ("sk-proj-aBcD1234efGH5678ijKL9012mnOP3456", "[key]"),
        ("wJalrXUtnFEMI5K7MDENGbPxRfiCYEXAMPLEKEY9", "[key]"),
        ("d41d8cd98f00b204e9800998ecf8427e", "[key]"),
        ("hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567", "[key]"),
        ("q7Zp0LxW3vT9bN2mK8sY5dR1cF6gH4jA", "[key]"),
        (
            "https://example.org/a?n=1&X-Amz-Signature=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "https://example.org/a?n=1&X-Amz-Signature=[key]",
        ),
        (
            "https://example.org/a?access_token=correct-horse-battery&n=1",
            "https://example.org/a?access_token=[key]&n=1",
        ),
        ("https://example.org/a?v=q7Zp0LxW3vT9bN2mK8sY5dR1cF6gH4jA", "https://example.org/a?v=[key]"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY=[key]/[key]/[key]"),
        (
            "docs.example.com/document/d/1aB2cD3eF4gH5iJ6kL7mN8oP9qR0sT1uV2wX3yZ4/edit",
            "docs.example.com/document/d/[key]/edit",
        ),
    ],
)
def test_what_must_go(secret: str, placeholder: str) -> None:
    assert redact(f"before {secret}, after") == f"before {placeholder}, after"


@pytest.mark.parametrize(
    "text",
    [
        "Python 3.11.7 was released on 2023-12-04 at 10:30:00.",
        "for i in range(10): matrix[i] = [1, 2, 3, 4]  # 10 20 30 40",
        "def test_a_function_with_a_long_and_descriptive_name_in_it(self): pass",
        "see https://docs.python.org/3/library/concurrent.futures.html#module-concurrent.futures",
        "@dataclass\nclass A:\n    x: int = 5",
        "x = 0x7fffffffffff + 123456789012",
        "=====================================================================",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        '{"warc": "s3://commoncrawl/crawl-data/CC-MAIN-2013-20/segments/1368696381249/warc/'
        'CC-MAIN-20130516092621-00000-ip-10-60-113-184.ec2.internal.warc.gz"}',
        "crawl-data/CC-MAIN-2024-22/segments/1715971057216.39/wet/CC-MAIN-20240517233122-20240518023122-00000.warc.wet.gz"
        "#bytes=1234567890-1234599999",
        f"repo#commit={'1f0e' * 10},path=src/firn/m.py",
        "enwiki-20240501-pages-articles-multistream1.xml-p1p41242.bz2#bytes=1048576000-,page=12345",
        "https://en.wikipedia.org/wiki/List_of_Presidents_of_the_United_States_2013",
        "https://example.org/2013/05/16021234/ThreadPoolExecutor2AndFutures.html",
        "hf-internal-testing/tiny-random-LlamaForCausalLM",
        "hf://datasets/HuggingFaceFW/fineweb-edu/sample/10BT/013_00000.parquet#row=123456",
    ],
)
def test_what_must_stay(text: str) -> None:
    assert redact(text) == text


def test_an_address_at_the_cut_is_not_left_half() -> None:
    text = "x" * 90 + " jane.doe@example.org is here"
    assert "jane" not in excerpt(text, 100)
    assert excerpt("short", 100) == "short"
    assert excerpt("long " * 10_000, 50).endswith("…")
    assert len(excerpt("long " * 10_000, 50)) <= 51


@given(st.text(max_size=300))
def test_any_text_can_be_redacted_twice(text: str) -> None:
    once = redact(text)
    assert redact(once) == once or "[" in once


@pytest.mark.parametrize(
    "unit",
    ["a", "1-", "0 ", "a@", "a.", "@", "+1 ", "aA1", "eyJ", "-----BEGIN PRIVATE KEY-----", "?key=", "aB1/", "=aB1"],
)
def test_hostile_repetition_takes_linear_work(unit: str) -> None:
    # No clock: a quadratic pattern would not come back from this within the test run.
    redact(unit * (1_000_000 // len(unit)))


def test_recall_on_synthetic_people(shared_data: Callable[[str], Path]) -> None:
    rows = json.loads(shared_data("pii/presidio/generated_large.json").read_text())
    found: dict[str, list[bool]] = {}
    for row in rows:
        shown = redact(row["full_text"])
        for span in row["spans"]:
            found.setdefault(span["entity_type"], []).append(span["entity_value"] not in shown)
    recall = {kind: sum(hits) / len(hits) for kind, hits in found.items()}
    for kind, least in {"EMAIL_ADDRESS": 1.0, "CREDIT_CARD": 1.0, "IP_ADDRESS": 1.0, "PHONE_NUMBER": 0.7}.items():
        assert recall[kind] >= least, f"{kind}: {recall[kind]:.2f}"


def test_addresses_stay_whole_but_for_a_login_and_what_hides() -> None:
    warc = (
        "crawl-data/CC-MAIN-2024-22/segments/1715971057216.39/warc/CC-MAIN-20240517233122-20240518023122-00001.warc.gz"
    )
    commit = f"repo#commit={'1f0e' * 10},path=src/m.py"
    for address in (f"{warc}#bytes=1234-5678", f"https://data.commoncrawl.org/{warc}, bytes=0-9", commit):
        assert locator(address) == address
    assert locator("https://jane:secret@example.org/a\u202e.txt") == "https://[login]@example.org/a.txt"
    assert (
        locator("https://example.org/a.gz?sig=aB3%2Fx9Yz#bytes=0-9") == "https://example.org/a.gz?sig=[key]#bytes=0-9"
    )


def test_keys_drawn_at_random_hardly_ever_stay() -> None:
    chance = random.Random(0)
    for signs in (ascii_letters + digits, ascii_letters + digits + "+/", ascii_letters + digits + "-_"):
        keys = ["".join(chance.choices(signs, k=40)) for _ in range(2000)]
        assert sum("[key]" in redact(f"is {key} so") for key in keys) > 1990
