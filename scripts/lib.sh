# Sourced by the scripts beside it: sets up a virtual environment of the project's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() { # a Python of one of the given versions, from the PATH or from pyenv
    local version candidate
    for version in "$@"; do
        for candidate in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/python python3; do
            if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
                command -v "$candidate"
                return
            fi
        done
    done
    return 1
}

set_up() { # set_up FOLDER PYTHON REQUIREMENT...: made once, and again when setup.cfg changes
    local folder=$1 python=$2 stamp
    shift 2
    stamp="$(sha256sum setup.cfg pyproject.toml) $*"
    if [ "$(cat "$folder/.made-from" 2>/dev/null)" != "$stamp" ]; then
        echo "Setting up $folder with $("$python" --version)" >&2
        "$python" -m venv --clear "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
        echo "$stamp" > "$folder/.made-from"
    fi
}

main_environment() { # .venv: the newest TensorFlow, and what the tests need
    local python
    python=$(find_python 3.11 3.12 3.10) || { echo "Python 3.10, 3.11 or 3.12 is needed, with venv" >&2; exit 2; }
    set_up .venv "$python" -e '.[tensorflow,dev]'
}

run_tests() { # run_tests FOLDER [ARGUMENT...]: two tests at a time, then those one by one that nothing may run beside
    local python=$1/bin/python
    shift
    "$python" -m pytest -n 2 --dist worksteal --benchmark-disable -m 'not alone' "$@"
    "$python" -m pytest -m alone "$@"
}
