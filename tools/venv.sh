#!/usr/bin/env bash
# Make or refresh the virtual environment that every door uses: venv.sh PYTHON FOLDER.
set -euo pipefail
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  for candidate in python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip' 2>/dev/null; then python=$candidate; break; fi
  done
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "pgherd needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Name another: make PYTHON=/path/to/python3" >&2
  exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian's python3-venv"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "$python has no ensurepip: install python3-venv first" >&2
    exit 1
  fi
fi
[ -x "$venv/bin/python" ] || { echo "virtual environment $venv ($("$python" --version))"; "$python" -m venv "$venv"; }
echo "Python packages of requirements/dev.txt, agent/ and lab/ (about a minute the first time)"
"$venv/bin/pip" install --quiet --upgrade "pip>=25"
"$venv/bin/pip" install --quiet -r requirements/dev.txt
"$venv/bin/pip" install --quiet --no-deps --editable agent --editable lab
touch "$venv/.ready"
