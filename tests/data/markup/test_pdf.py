"""PDF: text without the furniture of pages, words and paragraphs made whole."""

from __future__ import annotations

import io

import pytest

from firn.data.markup import pdf
from firn.data.markup.work import MarkupError


def pdf_of(*pages: list[str]) -> bytes:
    """A PDF of lines of text, one page after the other."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for lines in pages:
        stream = b"BT /F1 10 Tf 72 720 Td 14 TL " + b" ".join(f"({line}) Tj T*".encode() for line in lines) + b" ET"
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(kids))
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, 2)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(
        b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % p for p in places)
    )
    out.write(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


def test_a_pdf_loses_its_furniture_and_gets_its_words_back() -> None:
    pytest.importorskip("pypdfium2")
    kinds = ["powder", "crust", "slush", "firn", "rime"]
    pages = [
        [
            "A History of Snow",
            f"The {kind} that fell on the fields is re-",
            f"markable for its {kind} names.",
            f"{number}",
        ]
        for number, kind in enumerate(kinds, 1)
    ]
    work, (part,) = pdf.read(pdf_of(*pages))
    text = "\n".join(block.text for block in part.blocks)
    assert "History" not in text
    assert "The slush that fell on the fields is remarkable for its slush names." in text
    assert work.meta["pages"] == 5
    for data in (b"", b"%PDF-1.4 nothing", pdf_of(["x"])[:100]):
        with pytest.raises(MarkupError):
            pdf.read(data)


def test_hyphens_at_line_ends() -> None:
    lines = ["It is well-known that an introduc-", "tion to well-", "known things on pp. 10-", "12 is of Jean-",
             "Paul and COVID-", "19, a soft\u00ad", "Ware, the state-of-the-",
             "art, and self\u2010", "made it is, it is."]  # fmt: skip
    assert pdf.paragraphs(lines, pdf.compounds([lines])) == [
        "It is well-known that an introduction to well-known things on pp. 10-12 is of Jean-Paul and COVID-19, "
        "a softWare, the state-of-the-art, and selfmade it is, it is."
    ]
    assert pdf.paragraphs(["an introduc\ufffetion to well\u0002known things"], {"well-known"}) == [
        "an introduction to well-known things"  # as pdfium joins lines
    ]
    assert pdf.compounds([["State-of-the-art, 10-12"]]) == {"state-of", "of-the", "the-art"}


def test_a_paragraph_of_many_lines_takes_linear_time() -> None:
    assert len(pdf.paragraphs(["word word word wor-"] * 200_000)) == 1
