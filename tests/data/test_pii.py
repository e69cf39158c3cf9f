"""Personal data is found by what it is: known numbers, check digits, places in the text, hostile input."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.pii.checksums import luhn, mod_11_10, mod_97, verhoeff
from firn.data.pii.find import find
from firn.data.pii.settings import KINDS

ALL = frozenset(KINDS)


def found(text: str) -> list[tuple[str, str]]:
    """(kind, value) of all that is found."""
    data = text.encode()
    return [(span.kind, data[span.start : span.end].decode()) for span in find(np.frombuffer(data, np.uint8), ALL)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "jane.doe+list@mail.example.org"),
        ("email", "jane@xn--bcher-kva.example"),
        ("email", "josé.garcía@correo.es"),
        ("email", "jane@bücher.de"),
        ("email", "jane (at) example.org"),
        ("email", "jane[at]example.org"),
        ("ip", "93.184.216.34"),
        ("ip", "2a00:1450:4001:82b::200e"),
        ("ip", "2a00:1450:4001:082b:0000:0000:0000:200e"),
        ("card", "4111 1111 1111 1111"),  # the test numbers that the schemes publish
        ("card", "5555-5555-5555-4444"),
        ("card", "2223003122003222"),
        ("card", "3782 822463 10005"),
        ("card", "6011111111111117"),
        ("card", "3530111333300000"),
        ("card", "30569309025904"),
        ("iban", "GB29NWBK60161331926819"),  # examples of the IBAN registry
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "FR1420041010050500013M02606"),
        ("iban", "MT84MALT011000012345MTLCAST001S"),
        ("iban", "no93 8601 1117 947"),
        ("national_id", "078-05-1120"),
        ("national_id", "529.982.247-25"),
        ("national_id", "12345678Z"),
        ("national_id", "X1234567L"),
        ("national_id", "2 55 08 14 168 025 38"),
        ("national_id", "RSSMRA85T10A562S"),
        ("national_id", "811218-9876"),
        ("national_id", "131052-308T"),
        ("national_id", "11010519491231002X"),
        ("national_id", "AB 12 34 56 C"),
        ("national_id", "85.07.30-033.28"),
        ("national_id", "820701-2409184"),
        ("phone", "+49 (0)30 1234567"),
        ("phone", "+447700900123"),
        ("phone", "+33\u00a01\u00a084\u00a017\u00a061\u00a018"),
        ("phone", "(212) 555-0123"),
        ("phone", "212.555.0123x44"),
        ("phone", "01.84.17.61.18"),
        ("phone", "07700 900 123"),
        ("key", "AKIAIOSFODNN7EXAMPLE"),
        ("key", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("key", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZabcdefGh"),
        ("key", "sk-proj-aBcD1234efGH5678ijKL9012mnOP3456"),
        ("key", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
        ("key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow0=\n-----END RSA PRIVATE KEY-----"),
    ],
)
def test_what_is_found(kind: str, value: str) -> None:
    for text in (f"before {value}, after", value, f"({value})\n", f"是{value}。"):
        assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My SIN is 046 454 286.", "046 454 286"),
        ("Steuer-ID: 86095742719", "86095742719"),
        ("PESEL 44051401359", "44051401359"),
        ("Aadhaar no. 2341 2341 2346", "2341 2341 2346"),
        ("NI number: AB123456C", "AB123456C"),
        ("BSN 111222333", "111222333"),
        ("マイナンバー 1234 5678 9018", "1234 5678 9018"),
    ],
)
def test_numbers_that_need_their_word(text: str, value: str) -> None:
    assert found(text) == [("national_id", value)]
    assert ("national_id", value) not in found(f"They sold {value} units.")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('password = "hunter2hunter2"', "hunter2hunter2"),
        ("API_KEY=9f86d081884c7d659a2f", "9f86d081884c7d659a2f"),
        ("'client_secret': 'aB3dE5fG7hI9'", "aB3dE5fG7hI9"),
        ("postgres://admin:pa55word@db.example.com/x", "admin:pa55word"),
    ],
)
def test_secrets_in_code(text: str, value: str) -> None:
    assert found(text) == [("key", value)]


@pytest.mark.parametrize(
    "text",
    [
        "Python 3.11.7 was released on 2023-12-04 at 10:30:00.",
        "version 10.20.30.40, v1.22.33.44, Chrome/90.0.44.93, Section 12.1.10.2",
        "10.0.0.1 192.168.1.1 127.0.0.1 172.16.3.4 224.0.0.251 ::1 fe80::1ff:fe23:4567:890a",
        "std::vector<int> ad::be::ef; 00:1b:44:11:3a:b7 12:30:45",
        "icon@2x.png, y = x@self.weight.T, @dataclass, git@github.com:firn/firn.git",
        "ISBN 978-3-16-148410-0, DOI 10.1000/182, 1609459200000, 123456789012345678",
        "GB30NWBK60161331926819 DE89370400440532013001",
        "4111 1111 1111 1112 and 1234 5678 9012 3456",
        "000-12-3456, 666-12-3456, 123-00-4567, 12345678A, 111.111.111-11",
        "GB 12 34 56 C, AB 12 34 56 E, BSN 111222334, 85.07.30-033.29, 829901-2409184, my number is 1234 5678 9017",
        "for i in range(10): matrix[i] = [1, 2, 3, 4]  # 10 20 30 40",
        'password = os.environ["PASSWORD"]; api_key = "your-api-key-1"; token = "xxxxxxxx1"',
        "In 1914-1918 and 1939-1945 some 1 000 000 people; see pages 100-200.",
        "d41d8cd98f00b204e9800998ecf8427e",
        "Decimal('+35236450.6') and +000000120",
    ],
)
def test_what_stays(text: str) -> None:
    assert found(text) == []


def test_kinds_and_countries_are_chosen() -> None:
    text = np.frombuffer(b"a@b.com, 93.184.216.34, 078-05-1120, 529.982.247-25", np.uint8)
    assert [span.kind for span in find(text, frozenset({"ip"}))] == ["ip"]
    only = find(text, frozenset({"national_id"}), ("br",))
    assert [bytes(text[span.start : span.end]) for span in only] == [b"529.982.247-25"]


@pytest.mark.parametrize(
    ("check", "valid"),
    [
        (luhn, "4111111111111111"),
        (verhoeff, "234123412346"),
        (mod_97, "GB29NWBK60161331926819"),
        (mod_11_10, "86095742719"),
    ],
)
@given(st.data())
def test_checks_catch_every_wrong_digit(check: Callable[[str], bool], valid: str, data: st.DataObject) -> None:
    assert check(valid)
    at = data.draw(st.sampled_from([i for i, c in enumerate(valid) if c.isdigit()]))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != valid[at]]))
    assert not check(valid[:at] + other + valid[at + 1 :])


PIECES = [
    "a@b.com",
    "93.184.216.34",
    "4111111111111111",
    "212-555-0123",
    "é",
    "漢",
    "1",
    ".",
    "-",
    "@",
    ":",
    "::",
    " ",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200))
def test_spans_are_in_order_and_on_characters(text: str) -> None:
    data = text.encode()
    spans = find(np.frombuffer(data, np.uint8), ALL)
    at = 0
    for span in spans:
        assert at <= span.start < span.end <= len(data)
        data[span.start : span.end].decode()
        at = span.end


@given(st.text(alphabet=st.characters(exclude_categories=("N", "Cs"), exclude_characters="@)]"), max_size=300))
def test_a_text_without_digits_and_at_signs_holds_nothing(text: str) -> None:
    assert found(re.sub("(?i)private key", "", text)) == []


HOSTILE = """a;1;1-;0 ;a@;a.;@;+1 ;aA1;eyJ;-eyJ1;1.;f:;::;GB29 ;4111 ;://a:b;(at);-----BEGIN PRIVATE KEY-----
;password=';token=a1;abcdefghijklmnop1 ;eyJaaaaaaaaaaaaa1 ;call 1 ;sk-a1;12345678-""".split(";")


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_repetition_takes_linear_work(unit: str) -> None:
    # No clock: a quadratic pattern would not come back from this within the test run.
    find(np.frombuffer((unit * (1_000_000 // len(unit))).encode(), np.uint8), ALL)


def test_precision_and_recall_on_synthetic_people(shared_data: Callable[[str], Path]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    import json

    from pii import BOUNDS, score

    rows = json.loads(shared_data("pii/presidio/generated_large.json").read_text())
    scores = score(rows)
    for kind, least in {**BOUNDS, "national_id": (0.95, 0.9), "phone": (0.95, 0.8)}.items():
        precision, recall, labelled, _ = scores[kind]
        assert labelled > 5
        assert precision >= least[0], kind
        assert recall >= least[1], kind
