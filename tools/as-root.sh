#!/usr/bin/env bash
# Run a command of the lab as root: the lab makes namespaces, mounts and cgroups. as-root.sh COMMAND...
set -euo pipefail
if [ "$(uname -s)" != Linux ]; then
  echo "The lab needs Linux (namespaces, cgroups); this is $(uname -s). 'make lint test-unit test-simulation' run anywhere." >&2
  exit 1
fi
[ "$(id -u)" = 0 ] && exec "$@"
if sudo -n true 2>/dev/null; then
  exec sudo -n --preserve-env=PATH,ANSIBLE_CONFIG,ANSIBLE_HOME,PGHERD_LAB,PGHERD_KUBECONFIG,PGHERD_IMAGE,XDG_CACHE_HOME,XDG_STATE_HOME,HOME,CI "$@"
fi
echo "The lab needs root: run this as root, or as a user for whom 'sudo -n' works. 'make lint test-unit test-simulation' need none." >&2
exit 1
