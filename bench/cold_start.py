"""Cold start: what the first cleaning of pages waits for while kernels are compiled, and what every later one waits.

    python bench/cold_start.py

Starts Python anew with an empty cache folder and cleans one page by FineWeb's rules (WARC to kept text, as `firn clean`
does), then again with the folder as it was left. Prints seconds of the clock and of the processor; the difference is
what compiling costs, once for each version of firn. One process, as a worker is one.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = "<!DOCTYPE html><title>A page</title><body><article>" + "<p>The snow of one winter is not yet ice.</p>" * 40

WORKER = """
import sys
from pathlib import Path
from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import filter, measure
from firn.data.extract import ExtractSettings
from firn.data.rules import RulesSettings
from firn.data.sources import warc

store, rules = Store(sys.argv[2]), RulesSettings(preset="fineweb")
source = warc.WarcSource(paths=(sys.argv[1],))
documents = execute(warc.tasks("pages", source, ExtractSettings())[0], store)
measured = execute(measure.task(rules.measure, documents, rules.files), store)
inputs = (Input(documents, ("documents",)), Input(measured, ("signals",)))
execute(Task(filter.STAGE, rules.filter, inputs, "pages"), store)
"""


def write_page(path: Path) -> None:
    """A WARC file of one page."""
    body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{PAGE}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.com/\r\nContent-Length: {len(body)}\r\n"
    )
    path.write_bytes(head.encode() + b"Content-Type: application/http\r\n\r\n" + body + b"\r\n\r\n")


def start(folder: Path, name: str) -> tuple[float, float]:
    """Seconds of the clock and of the processor for one start, with the cache that `folder` holds."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", WORKER, folder / "page.warc", folder / name], check=True, env=environment)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_page(folder / "page.warc")
        cold = start(folder, "first")
        warm = min(start(folder, f"later{turn}") for turn in range(3))
    for label, (wall, processor) in (("first use", cold), ("later", warm)):
        print(f"{label:10} {wall:6.1f} s of the clock, {processor:6.1f} s of the processor")
    print(f"compiling  {cold[0] - warm[0]:6.1f} s of the clock, {cold[1] - warm[1]:6.1f} s of the processor")


if __name__ == "__main__":
    main()
