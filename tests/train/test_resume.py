"""A run that is killed, stopped, damaged or doubled ends with the weights of one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from tiny_run import MODEL, SETTINGS, WATCH, plan_of, run, tiny_corpus

from firn.core.errors import FirnError, RecipeError, ResumeError, StoreError
from firn.core.progress import Progress
from firn.tokens.batch import Batch
from firn.train import loop, runtime
from firn.train.checkpoint import Checkpoints
from firn.train.metrics import read_metrics
from firn.train.result import TrainResult
from firn.train.step import Pending
from firn.train.stop import Stopped
from firn.train.trainer import Trainer


class Notes(Progress):
    """Progress that only remembers its notes."""

    def __init__(self) -> None:
        super().__init__("quiet")
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def left_alone(store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(store, tmp_path_factory.mktemp("left_alone"))


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, how: Exception | signal.Signals) -> None:
    """Make the update of `step` end in an error or a signal, once."""
    update, armed = Trainer.update, [True]

    def stopping(self: Trainer, number: int, drawn: Batch, *args: Any, **options: Any) -> Pending:
        if number == step and armed.pop() if armed else False:
            if isinstance(how, Exception):
                raise how
            os.kill(os.getpid(), how)
        return update(self, number, drawn, *args, **options)

    monkeypatch.setattr(Trainer, "update", stopping)


@pytest.mark.parametrize("step", [2, 4, 7, 11])
def test_an_error_at_any_step_and_the_run_goes_on_to_the_same_bits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_alone: TrainResult, step: int
) -> None:
    stop_at(step, monkeypatch, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, tmp_path)
    progress = Notes()
    again = run(store, tmp_path, progress=progress)
    assert again.weights == left_alone.weights
    assert again.loss == left_alone.loss
    assert again.validation == left_alone.validation
    assert again.files == left_alone.files
    assert any("going on" in note for note in progress.notes) == (step >= WATCH.checkpoint_every)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_alone: TrainResult, how: signal.Signals
) -> None:
    before = signal.getsignal(how)
    stop_at(5, monkeypatch, how)
    with pytest.raises(Stopped, match=f"after step 6 of 12.*{how.name}") as stopped:
        run(store, tmp_path)
    assert stopped.value.exit_code == 128 + how
    assert "same command" in str(stopped.value)
    assert signal.getsignal(how) is before
    assert (tmp_path / "checkpoints" / "step-00000006" / "manifest.json").exists()
    assert run(store, tmp_path).weights == left_alone.weights


def injected(store: Path, folder: Path, fault: str, step: int) -> list[tuple[int, int, str, int, str]]:
    """n, status and output of the broken run, status and output of the run after it; the last one was not broken."""
    program = [sys.executable, tiny_run.__file__, "inject", str(store), str(folder), fault, str(step)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=900, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("any:kill", 13),
        ("manifest:kill", 3),
        pytest.param("any:kill", 1, marks=pytest.mark.slow),
        pytest.param("any:enospc", 1, marks=pytest.mark.slow),
    ],
)
def test_kill_9_at_writes_fsyncs_and_manifests(store: Path, tmp_path: Path, fault: str, step: int) -> None:
    runs = injected(store, tmp_path, fault, step)
    assert len(runs) > 3
    expected = runs[-1][4]
    assert len(expected) == 64
    for n, broken, _, status, output in runs[:-1]:
        assert broken == (-signal.SIGKILL if "kill" in fault else 1), f"hit {n} was not reached"
        assert (status, output.splitlines()[-1]) == (0, expected), f"killed at hit {n}"
    assert runs[-1][1] == 0


def test_a_full_disk_is_a_clear_error_and_the_run_goes_on(store: Path, tmp_path: Path) -> None:
    runs = injected(store, tmp_path, "fsync:enospc", 4)
    for _, broken, complaint, status, output in runs[:-1]:
        assert broken == 1
        assert "cannot be written: No space left on device" in complaint
        assert "run the same command again" in complaint
        assert (status, output) == (0, runs[-1][4])


def test_two_trainers_in_one_folder_end_with_one_result(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, tiny_run.__file__, str(store), str(tmp_path), "4"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    weights = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(weights) == 1
    # The second took over the first one's result instead of training beside it.
    assert len(list(tmp_path.glob("metrics-*.jsonl"))) == 1


def test_a_finished_run_returns_at_once(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(store, tmp_path)
    monkeypatch.setattr(loop, "Trainer", None)
    assert run(store, tmp_path) == first
    assert TrainResult.read(tmp_path) == first


def test_a_damaged_model_folder_is_written_again(store: Path, tmp_path: Path) -> None:
    first = run(store, tmp_path)
    (tmp_path / "model" / "config.json").unlink()
    assert run(store, tmp_path).files == first.files
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "torn manifest"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_alone: TrainResult, damage: str
) -> None:
    stop_at(9, monkeypatch, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, tmp_path)
    newest = tmp_path / "checkpoints" / "step-00000008"
    [file] = newest.glob("manifest.json" if damage == "torn manifest" else "model-*")
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    elif damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2])
    progress = Notes()
    assert run(store, tmp_path, progress=progress).weights == left_alone.weights
    assert "step-00000008 is damaged" in progress.notes[0]
    assert "going on after step 4" in progress.notes[1]


def test_the_newest_checkpoints_are_kept(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path, watch=WATCH.model_copy(update={"checkpoint_every": 2, "keep": 3}))
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000010", "step-00000012"]


def test_another_run_in_the_folder_is_refused(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path)
    with pytest.raises(ResumeError, match=r"plan\.seed: the checkpoint was made with 0, this run has 1"):
        run(store, tmp_path, SETTINGS.model_copy(update={"seed": 1}))
    corpus = tiny_corpus(store)
    with pytest.raises(ResumeError, match=r"model\.layers: .* 2, this run has 1"):
        loop.train(
            SETTINGS, MODEL.model_copy(update={"layers": 1}), corpus, plan_of(corpus, SETTINGS), tmp_path, watch=WATCH
        )
    corpus.identity = "another corpus"
    with pytest.raises(ResumeError, match="corpus: "):
        loop.train(SETTINGS, MODEL, corpus, plan_of(corpus, SETTINGS), tmp_path, watch=WATCH)


def test_settings_that_do_not_fit_together_are_refused(store: Path, tmp_path: Path) -> None:
    corpus = tiny_corpus(store)
    plan = plan_of(corpus, SETTINGS)
    with pytest.raises(RecipeError, match=r"train\.steps"):
        loop.train(SETTINGS.model_copy(update={"steps": 5}), MODEL, corpus, plan, tmp_path)
    with pytest.raises(RecipeError, match=r"train\.window"):
        loop.train(SETTINGS, MODEL.model_copy(update={"context": 16}), corpus, plan, tmp_path)
    with pytest.raises(RecipeError, match=r"model\.vocab_size"):
        loop.train(SETTINGS, MODEL.model_copy(update={"vocab_size": 7}), corpus, plan, tmp_path)


def test_an_unwritable_folder_is_a_clear_error(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        run(store, tmp_path / "file" / "train")


def test_what_the_runtime_was_is_kept_on_resume() -> None:
    chosen = runtime.choose("fp32", "cpu")
    kept, warning = runtime.resume({**chosen.to_json(), "threads": 7})
    assert (kept.threads, warning) == (7, None)
    _, warning = runtime.resume({**chosen.to_json(), "library": "1.0"})
    assert "not bit for bit: torch 1.0 ->" in str(warning)


def test_the_checkpoint_of_another_format_is_an_error(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, tmp_path)
    (tmp_path / "result.json").unlink()
    monkeypatch.setattr("firn.train.checkpoint.FORMAT_VERSION", 99)
    with pytest.raises(FirnError, match="this firn reads 99"):
        run(store, tmp_path)
    assert Checkpoints.__doc__


def test_records_of_all_attempts_read_as_those_of_one(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_alone: TrainResult
) -> None:
    stop_at(10, monkeypatch, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, tmp_path)
    run(store, tmp_path)
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records if record["kind"] == "step"] == list(range(12))
    assert [record["step"] for record in records if record["kind"] == "validation"] == [6, 12]
    assert [record["step"] for record in records if record["kind"] == "start"] == [0, 8]
    last = [record["loss"] for record in records if record["kind"] == "step"][-1]
    assert last == left_alone.loss
