#!/usr/bin/env bash
# ansible-test on the collection: ansible-test.sh sanity|units [options].
# It needs a real directory ansible_collections/pgherd/postgres and a home of its own, so both are made in .build.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD subcommand=$1
shift
work=$root/.build/ansible-test/$subcommand
home=$root/.build/ansible-test/home
copy=$work/ansible_collections/pgherd/postgres

# ansible-test downloads pip's installer unless it finds one; this one needs no network.
mkdir -p "$home/.ansible/test/cache" "$copy" "$work/ansible_collections/kubernetes"
for name in get_pip_24_2.py get_pip_25_2.py; do
  printf 'import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n' > "$home/.ansible/test/cache/$name"
done
ln -sfn "$root/.build/collections/ansible_collections/kubernetes/core" "$work/ansible_collections/kubernetes/core"

# Only what an installed collection has, and what ansible-test keeps beside it.
for part in plugins roles playbooks meta changelogs galaxy.yml; do
  rm -rf "${copy:?}/$part"
  cp -r "$root/$part" "$copy/"
done
[ -f "$root/README.md" ] && cp "$root/README.md" "$copy/"
rm -rf "$copy/tests" && mkdir -p "$copy/tests"
cp -r "$root/tests/sanity" "$copy/tests/"
if [ "$subcommand" = units ]; then
  mkdir "$copy/tests/unit"
  cp -r "$root/tests/unit/collection" "$copy/tests/unit/"
  # These look at the repository, which is not there.
  rm "$copy"/tests/unit/collection/test_{package,generated}.py
  mv "$copy/tests/unit/collection/requirements.txt" "$copy/tests/unit/"
  # What is said twice is compared with the agent's own words; a copy of it, since its build leaves files behind.
  rm -rf "$work/agent" && mkdir "$work/agent" && cp -r "$root"/agent/{pyproject.toml,src} "$work/agent/"
  echo "$work/agent" >> "$copy/tests/unit/requirements.txt"
  rm -rf "$copy/docs" && cp -r "$root/docs" "$root/ansible.cfg" "$copy/"
  mkdir -p "$copy/.build/collections/ansible_collections/kubernetes"
  ln -sfn "$root/.build/collections/ansible_collections/kubernetes/core" \
    "$copy/.build/collections/ansible_collections/kubernetes/core"
  touch "$copy/tests/__init__.py" "$copy/tests/unit/__init__.py"
  set -- --requirements "$@"
fi
find "$copy" -name __pycache__ -prune -exec rm -rf {} +
cd "$copy"
# ansible-test asks git which files there are; what it writes itself is not ours.
printf '%s\n' tests/output .build > .gitignore
[ -d .git ] || git init --quiet .
git add --all
# pyenv's shims answer for interpreters that are not there, which confuses ansible-test.
PATH=$(printf %s "$PATH" | tr : '\n' | grep -v pyenv/shims | paste -sd:)
version=$("$root/.build/venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
HOME=$home exec "$root/.build/venv/bin/ansible-test" "$subcommand" --color no --venv --python "$version" "$@"
