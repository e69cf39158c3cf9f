"""Personal data leaves excerpts; ordinary text and code do not suffer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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


@pytest.mark.parametrize("unit", ["a", "1-", "0 ", "a@", "a.", "@", "+1 ", "aA1", "eyJ", "-----BEGIN PRIVATE KEY-----"])
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
