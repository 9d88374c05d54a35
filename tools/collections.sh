#!/usr/bin/env bash
# Make .build/collections, where Ansible finds this checkout as pgherd.postgres and kubernetes.core beside it.
# kubernetes.core comes from the `ansible` package: 1.4 MB of it are unpacked, and nothing of it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
release=14.5.0
collections=.build/collections/ansible_collections
mkdir -p "$collections/pgherd"
ln -sfn "$PWD" "$collections/pgherd/postgres"
[ "$(cat "$collections/.kubernetes-core" 2>/dev/null)" = "$release" ] && exit 0

download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
echo "Ansible collection kubernetes.core (a download of 50 MB, once)"
.build/venv/bin/pip download --quiet --no-deps --ignore-requires-python --dest "$download" "ansible==$release"
.build/venv/bin/python - "$download" "$collections/.." <<'UNPACK'
import sys
import zipfile
from pathlib import Path

(wheel,) = Path(sys.argv[1]).glob("ansible-*.whl")
with zipfile.ZipFile(wheel) as archive:
    wanted = [name for name in archive.namelist() if name.startswith("ansible_collections/kubernetes/core/")]
    archive.extractall(sys.argv[2], wanted)
UNPACK
echo "$release" > "$collections/.kubernetes-core"
