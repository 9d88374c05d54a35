#!/usr/bin/env bash
# What Galaxy and AWX do with the collection, without either: build it, import it, read its documentation, and make the
# context of its execution environment. They need packages of their own, in .build/venv-collection.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD venv=$PWD/.build/venv-collection work=$PWD/.build/collection
if ! cmp -s requirements/collection.txt "$venv/.requirements"; then
  echo "Python packages of requirements/collection.txt (half a minute, once)"
  "$root/.build/venv/bin/python" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet -r requirements/collection.txt
  cp requirements/collection.txt "$venv/.requirements"
fi
# Documentation refers to kubernetes.core's, which the importer finds beside the packages only.
core=$root/.build/collections/ansible_collections/kubernetes/core
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$work"
for place in "$packages" "$work"; do
  mkdir -p "$place/ansible_collections/kubernetes"
  ln -sfn "$core" "$place/ansible_collections/kubernetes/core"
done
export PATH=$venv/bin:/usr/local/bin:/usr/bin:/bin HOME=$work ANSIBLE_HOME=$work/home ANSIBLE_NOCOLOR=1
unset ANSIBLE_CONFIG

# From the tracked files alone, as a release is built.
mkdir -p "$work/tracked"
git ls-files -z | xargs -0 cp --parents -P --target-directory "$work/tracked"
(cd "$work/tracked" && ansible-galaxy collection build --output-path "$work" >/dev/null)
archive=$(echo "$work"/pgherd-postgres-*.tar.gz)

echo "galaxy-importer"
printf '[galaxy-importer]\nCHECK_REQUIRED_TAGS = True\nRUN_ANSIBLE_LINT = False\n' > "$work/importer.cfg"
(cd "$work" && GALAXY_IMPORTER_CONFIG=importer.cfg python -m galaxy_importer.main "$archive") > "$work/importer.log" 2>&1 || {
  cat "$work/importer.log"
  exit 1
}
if grep -E '^(ERROR|WARNING)' "$work/importer.log"; then exit 1; fi

echo "antsibull-docs"
installed=$work/ansible_collections/pgherd/postgres
mkdir -p "$installed"
tar -xzf "$archive" -C "$installed"
cp galaxy.yml "$installed/"
ANSIBLE_COLLECTIONS_PATH=$work antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs dependent \
  --skip-rstcheck "$installed"

echo "ansible-builder"
ansible-builder introspect "$work" > "$work/needed"
grep -q 'cryptography.*from collection pgherd.postgres' "$work/needed" || {
  echo "ansible-builder does not find the collection's Python packages (meta/execution-environment.yml)"
  exit 1
}
ansible-builder create -f awx/execution-environment.yml -c "$work/environment" >/dev/null
