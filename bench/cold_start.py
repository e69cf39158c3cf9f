"""Cold start: what the first `firn clean` waits for while kernels are compiled, and what every later one waits.

    python bench/cold_start.py [--workers 2]

Starts Python anew with an empty cache folder and cleans one page, WARC to kept text, by FineWeb's rules with removal of
personal data, as a user does; then again with the folder as it was left. Prints seconds of the clock; the difference is
what compiling costs, once for each version of firn. Half of it is numba's inference of types and writing of LLVM's
code, in Python; where there are two processors, two processes share the kernels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = "<!DOCTYPE html><title>A page</title><body><article>" + "<p>The snow of one winter is not yet ice.</p>" * 40
MAIN = "from firn.cli.main import main; raise SystemExit(main())"
RECIPE = "sources: {web: {kind: warc, paths: [page.warc], rules: {preset: fineweb}}}\n"


def write_page(path: Path) -> None:
    """A WARC file of one page."""
    body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{PAGE}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.com/\r\nContent-Length: {len(body)}\r\n"
    )
    path.write_bytes(head.encode() + b"Content-Type: application/http\r\n\r\n" + body + b"\r\n\r\n")


def start(folder: Path, runs: str, workers: int) -> float:
    """Seconds of the clock for one start, with the cache that `folder` holds."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", MAIN, "clean", "recipe.yaml", "--runs", runs, "--quiet"]
    started = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers)], check=True, env=environment, cwd=folder)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="processes")
    workers = parser.parse_args().workers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_page(folder / "page.warc")
        (folder / "recipe.yaml").write_text(RECIPE)
        cold = start(folder, "first", workers)
        warm = min(start(folder, f"later{turn}", workers) for turn in range(3))
    print(f"first use {cold:6.1f} s\nlater     {warm:6.1f} s\ncompiling {cold - warm:6.1f} s")


if __name__ == "__main__":
    main()
