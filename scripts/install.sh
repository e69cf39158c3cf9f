#!/bin/sh
# Make .venv and install firn into it: torch first, so that a CUDA build is never pulled in by accident.
#
#   sh scripts/install.sh            what running firn needs
#   sh scripts/install.sh dev        and what its tests need
#
# PYTHON       the interpreter to use (3.11 or 3.12; found by itself)
# TORCH_INDEX  where torch comes from on Linux without an NVIDIA GPU (default: PyTorch's CPU wheels)
set -eu
cd "$(dirname "$0")/.."
extra="${1:-}"

find_python() {
    for candidate in ${PYTHON:-} python3.12 python3.11 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "firn needs Python 3.11 or 3.12 and found neither; install one, or name it: make quickstart PYTHON=/path/to/python3.12" >&2
    exit 1
}

has_nvidia_gpu() { nvidia-smi -L 2>/dev/null | grep -q GPU; }

if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "firn: making .venv with $("$python" --version)"
    "$python" -m venv .venv || {
        echo "firn: could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
        rm -rf .venv
        exit 1
    }
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

torch=$(grep '^torch==' constraints.txt)
if ! .venv/bin/python -c "import importlib.metadata as m, sys; sys.exit('torch==' + m.version('torch').split('+')[0] != '$torch')" 2>/dev/null; then
    index=""
    if [ "$(uname -s)" = Linux ] && ! has_nvidia_gpu; then
        index="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
    fi
    echo "firn: installing $torch${index:+ from $index}"
    # Without its dependencies: that index holds other versions of them than constraints.txt; they come with the rest.
    if [ -z "$index" ] || ! pip install --quiet --no-deps --retries 1 --timeout 15 --index-url "$index" "$torch"; then
        [ -z "$index" ] || echo "firn: $index could not be used; falling back to pip's configured index"
        pip install --quiet -c constraints.txt "$torch"
    fi
fi

echo "firn: installing the rest"
pip install --quiet -c constraints.txt -e ".${extra:+[$extra]}"
