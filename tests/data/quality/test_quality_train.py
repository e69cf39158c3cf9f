"""Training: what is learned, that it depends on the documents alone, and files of models and documents that are bad."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.errors import InputError
from firn.data.quality.documents import Document, documents, group_keys, sample
from firn.data.quality.linear import LinearModel, load, sigmoid
from firn.data.quality.settings import TrainingSettings
from firn.data.quality.train import learn, platt, train

sys.path.insert(0, str(Path(__file__).parent))
from made import text, write

SMALL = TrainingSettings(bits=12, epochs=3)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    folder = tmp_path_factory.mktemp("sets")
    return write(folder, True), write(folder, False)


@pytest.fixture(scope="module")
def model(sets: tuple[list[str], list[str]]) -> LinearModel:
    return train(*sets, SMALL).model


def score(model: LinearModel, document: str) -> float:
    return model.score(np.frombuffer(document.encode(), np.uint8))


def test_it_tells_the_sets_apart(sets: tuple[list[str], list[str]], model: LinearModel) -> None:
    found = train(*sets, SMALL)
    assert found.report.auc > 0.999
    assert found.report.documents + found.model.trained["documents"]["learned"] < 600
    new = range(1000, 1050)  # the training documents are those below 300
    assert min(score(model, text(True, n)) for n in new) > 0.5 > max(score(model, text(False, n)) for n in new)
    # Half of each is neither.
    mixed = [score(model, f"{text(True, n)} {text(False, n)}") for n in new]
    assert 0.2 < np.mean(mixed) < 0.8


def test_order_and_names_of_files_do_not_matter(sets: tuple[list[str], list[str]], model: LinearModel) -> None:
    good, bad = sets
    again = train(good[::-1], [*bad, *bad], SMALL).model
    assert (again.weights.tobytes(), again.bias, again.trained) == (model.weights.tobytes(), model.bias, model.trained)
    other = train(good, bad, SMALL.model_copy(update={"seed": 1})).model
    assert other.weights.tobytes() != model.weights.tobytes()


def test_one_kind_many_times_as_large_leaves_scores_where_they_are(tmp_path: Path) -> None:
    good, bad = write(tmp_path, True, 1000), write(tmp_path, False, 200)
    found = train(good, bad, SMALL).model
    assert 0.2 < np.mean([score(found, f"{text(True, n)} {text(False, n)}") for n in range(2000, 2050)]) < 0.8


def test_a_step_is_adagrads(model: LinearModel) -> None:
    features, offsets = np.array([3, 5, 3], np.uint32), np.array([0, 3, 3])
    weights = np.zeros(8, np.float32)
    order = np.array([0, 1])  # the second has no words
    bias = learn(features, offsets, np.array([True, False]), np.ones(2), order, 0.5, weights)
    # The chance is 1/2, so the gradient of the bias is -1/2; a first step has the length of the rate.
    assert bias == pytest.approx(0.5, rel=1e-4)
    # Place 3 is met twice with the gradient -1/6: steps of rate and of rate / sqrt(2).
    assert weights[5] == pytest.approx(0.5, rel=1e-4)
    assert weights[3] == pytest.approx(0.5 + 0.5 / np.sqrt(2), rel=1e-4)
    assert not weights[[0, 1, 2, 4, 6, 7]].any()


def test_calibration_finds_the_curve_that_drew_the_labels() -> None:
    draws = np.random.default_rng(0)
    margins = draws.normal(0, 2, 200_000)
    labels = draws.random(margins.size) < sigmoid(1.5 * margins)
    slope, shift = platt(margins, labels)
    assert (slope, shift) == (pytest.approx(1.5, abs=0.03), pytest.approx(0, abs=0.03))
    # Ten times as many of one kind: the same curve, since both count the same.
    rare = labels & (draws.random(margins.size) < 0.1)
    slope, shift = platt(margins[~labels | rare], labels[~labels | rare])
    assert (slope, shift) == (pytest.approx(1.5, abs=0.06), pytest.approx(0, abs=0.06))


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.01, 100))
def test_calibration_of_sets_without_error_is_finite(positive: int, negative: int, width: float) -> None:
    labels = np.repeat([True, False], [positive, negative])
    slope, shift = platt(np.where(labels, width, -width), labels)
    assert 0 < slope * width < 20
    assert abs(shift) < 20


def test_a_model_comes_back_from_its_file(model: LinearModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = load(path)
    assert (again.settings, again.bias, again.trained) == (model.settings, model.bias, model.trained)
    assert again.weights.tobytes() == model.weights.tobytes()
    assert score(again, "proof of theorem") == score(model, "proof of theorem")
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(InputError, match="cannot be written"):
        model.save(tmp_path / "none" / "model.safetensors")


def damaged(model: LinearModel, folder: Path) -> dict[str, bytes]:
    path = folder / "whole.safetensors"
    model.save(path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]

    def with_header(**about: object) -> bytes:
        stated = json.loads(header["__metadata__"]["firn.quality"]) | about
        new = {**header, "__metadata__": {"firn.quality": json.dumps(stated)}}
        raw = json.dumps(new).encode()
        return struct.pack("<Q", len(raw)) + raw + body

    nan = bytearray(data)
    nan[-4:] = struct.pack("<f", float("nan"))
    return {
        "empty": b"",
        "text": b"a text, but no model" * 10,
        "cut": data[:-5],
        "longer": data + b"\0" * 8,
        "header": struct.pack("<Q", 1 << 60) + data[8:],
        "pickle": b"\x80\x04\x95" + data,
        "bits": with_header(bits=20),
        "huge": with_header(bits=60),
        "version": with_header(version=2),
        "unknown": with_header(run="rm -rf"),
        "bias": with_header(bias="much"),
        "nan": bytes(nan),
    }


def test_a_file_that_is_no_model_is_refused(model: LinearModel, tmp_path: Path) -> None:
    for name, data in damaged(model, tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match="no quality model"):
            load(path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="too large"):
        load(large)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "absent")


def test_documents_of_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one", "url": "https://www.x.example/1"}\n\n'))
    (tmp_path / "b.jsonl").write_text('{"text": "two", "group": "g", "meta": {"grade": 3}}\n')
    pq.write_table(pa.table({"text": ["three"], "other": [1], "group": ["h"]}), tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_bytes(b"four \xff")
    found = list(documents([str(tmp_path)]))
    assert [(d.text.decode(), d.group) for d in found] == [
        ("one", "x.example"), ("two", "g"), ("three", "h"), ("four �", None),
    ]  # fmt: skip
    [labelled] = documents([str(tmp_path / "b.jsonl")], label="meta.grade")
    assert labelled.label == "3"


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_files_are_read_however_they_are_compressed(tmp_path: Path, suffix: str) -> None:
    pack = PACKERS[suffix]
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(pack(b'{"text": "one"}\n') + pack(b'{"text": "two"}\n'))
    (tmp_path / f"b.txt.{suffix.upper()}").write_bytes(pack(b"three"))
    (tmp_path / f"c.md.{suffix}").write_bytes(pack(b"four"))
    (tmp_path / f"d.parquet.{suffix}").write_bytes(pack(b"PAR1"))  # read from its end, so passed over
    assert [document.text for document in documents([str(tmp_path)])] == [b"one", b"two", b"three", b"four"]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", ["jsonl", "txt"])
def test_a_compressed_file_that_is_cut_off_is_named(tmp_path: Path, kind: str, suffix: str) -> None:
    lines = b"".join(json.dumps({"text": text(True, number)}).encode() + b"\n" for number in range(50))
    path = tmp_path / f"a.{kind}.{suffix}"
    path.write_bytes(PACKERS[suffix](lines)[:-20])
    with pytest.raises(InputError, match=r"cannot be read: .+ is damaged") as caught:
        list(documents([str(tmp_path)]))
    assert str(path) in str(caught.value)


def test_bombs_are_given_up_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firn.data.compressed.FREE", 1 << 20)
    (tmp_path / "a.jsonl.zst").write_bytes(PACKERS["zst"](b"\n" * (64 << 20)))
    with pytest.raises(InputError, match="unpacks to more than"):
        list(documents([str(tmp_path / "a.jsonl.zst")]))
    monkeypatch.setattr("firn.data.tables.FREE", 1 << 20)
    table = pa.table({"text": pa.array(["x" * 100_000] * 2000)})
    pq.write_table(table, tmp_path / "b.parquet", compression="zstd")
    with pytest.raises(InputError, match="cannot be read"):
        list(documents([str(tmp_path / "b.parquet")]))
    (tmp_path / "c.jsonl").write_bytes(b'{"text": "x", "more": [' + b"[]," * (3 << 20) + b"0]}\n")
    with pytest.raises(InputError, match="over the limit"):
        list(documents([str(tmp_path / "c.jsonl")]))


def test_symbolic_links_lead_nowhere_but_where_a_path_names_them(tmp_path: Path) -> None:
    for name in ("inside/a.txt", "outside/secret.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    inside = tmp_path / "inside"
    (inside / "b.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (inside / "more").symlink_to(tmp_path / "outside")
    for path in (inside, inside / "*.txt", inside / "**"):
        assert [document.text for document in documents([str(path)])] == [b"inside/a.txt"]
    assert [document.text for document in documents([str(inside / "b.txt")])] == [b"outside/secret.txt"]
    with pytest.raises(InputError, match="links are not followed"):
        list(documents([str(inside / "b*")]))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"body": "x"}', "row 1 has no text in the field 'text'"),
        ("a.jsonl", b'{"text": 5}', "row 1 has no text"),
        ("a.jsonl", b"[1, 2]", "row 1 has no text"),
        ("a.jsonl", b"no json", "cannot be read"),
        ("a.jsonl", b"[" * 100_000, "cannot be read"),
        ("a.jsonl.gz", b"\x1f\x8b cut off", "cannot be read"),
        ("a.parquet", b"PAR1 of course", "cannot be read"),
        ("a.pdf", b"%PDF", r"a\.pdf: holds no file of documents"),
        ("LICENSE", b"Anyone may", "holds no file of documents"),
    ],
)
def test_files_that_hold_no_documents(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        list(documents([str(tmp_path / name)]))


def test_files_of_other_kinds_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("LICENSE", "README", "README.rst", "more/b.pdf", "more/table.csv", "more/page.html"):
        (tmp_path / name).write_text("no document")
    (tmp_path / "more" / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "README.md").write_text("two")  # Markdown is a document, whatever its name
    (tmp_path / "more" / "c.txt").write_text("three")
    assert {document.text for document in documents([str(tmp_path)])} == {b"one", b"two", b"three"}
    assert {document.text for document in documents([str(tmp_path / "more" / "*")])} == {b"one", b"three"}


def test_a_path_under_which_nothing_is_left_is_refused_and_named(tmp_path: Path) -> None:
    for name in ("good.txt", "other/LICENSE", "other/b.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    for path in ("other", "other/*", "other/LICENSE"):
        with pytest.raises(InputError, match="holds no file of documents") as caught:
            list(documents([str(tmp_path / "good.txt"), str(tmp_path / path)]))
        assert str(tmp_path / path) in str(caught.value)


@given(st.lists(st.text("ab", max_size=4)), st.integers(1, 5), st.randoms())
def test_a_sample_depends_on_the_texts_alone(texts: list[str], most: int, random: object) -> None:
    rows = [Document(one.encode(), None) for one in texts]
    found = sample(iter(rows), most, 100)
    assert len(found) == min(most, len(set(texts)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert sample(iter(rows), most, 100) == found
    # One more text takes at most one place.
    more = sample(iter([*rows, Document(b"new", None)]), most, 100)
    assert len(found.keys() - more.keys()) <= 1


def test_a_set_of_one_host_is_divided_by_documents() -> None:
    one = {n: Document(b"", "wikipedia.example") for n in range(100)}
    many = {n: Document(b"", f"host{n % 25}") for n in range(100)}
    assert len(set(group_keys(one))) == 100
    assert len(set(group_keys(many))) == 25


def test_too_few_documents(tmp_path: Path, sets: tuple[list[str], list[str]]) -> None:
    few = write(tmp_path, True, 20)
    with pytest.raises(InputError, match="positive set: too few documents"):
        train(few, sets[1], SMALL)
    with pytest.raises(InputError, match="too few"):
        train(sets[0], sets[0], SMALL)  # every text is in both
