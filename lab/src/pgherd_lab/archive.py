"""Image archives without an image tool: the sandbox that keeps a pod's namespaces, from Debian's static busybox.

Written in the format of `docker save`, which containerd imports. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgherd_lab.errors import LabError

SANDBOX = "localhost/pgherd-sandbox:1"
# What local-path-provisioner's helper pod and the sandbox itself need.
COMMANDS = ("sh", "sleep", "cat", "ls", "mkdir", "rm", "chmod")
SLEEP = ["/bin/sh", "-c", "trap exit TERM INT; while :; do sleep 3600 & wait $!; done"]


def architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def entry(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o755, **fields: Any) -> tarfile.TarInfo:
    """A tar header without anything of this machine in it: root's, of the epoch."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def layer(files: Mapping[str, bytes], links: Mapping[str, str], folders: Mapping[str, int]) -> bytes:
    """One layer: folders (with modes), files (0755) and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in folders.items():
            tar.addfile(entry(name, tarfile.DIRTYPE, mode))
        for name, content in files.items():
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
        for name, target in links.items():
            tar.addfile(entry(name, tarfile.SYMTYPE, 0o777, linkname=target))
    return out.getvalue()


def image(reference: str, data: bytes, config: Mapping[str, Any]) -> bytes:
    """A whole archive of an image of one layer."""
    diff = "sha256:" + hashlib.sha256(data).hexdigest()
    described = {
        "architecture": architecture(), "os": "linux", "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff]}, "history": [{"created_by": "pgherd-lab"}],
    }  # fmt: skip
    body = json.dumps(described, sort_keys=True).encode()
    name = hashlib.sha256(body).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in (("layer.tar", data), (name, body), ("manifest.json", manifest)):
            tar.addfile(entry(member, mode=0o644, size=len(content)), io.BytesIO(content))
    return out.getvalue()


def sandbox(busybox: bytes, commands: Sequence[str] = COMMANDS) -> bytes:
    """The sandbox image: busybox asleep."""
    data = layer(
        {"bin/busybox": busybox},
        {f"bin/{name}": "busybox" for name in commands},
        {"bin": 0o755, "etc": 0o755, "tmp": 0o1777},
    )
    return image(SANDBOX, data, {"Entrypoint": SLEEP, "Env": ["PATH=/bin"]})


def write_sandbox(busybox: str | None, target: Path) -> Path:
    """The archive in the cache; made again when busybox changed."""
    if busybox is None:
        raise LabError("busybox is not installed; 'pgherd-lab doctor --install' installs it")
    content = sandbox(Path(busybox).read_bytes())
    path = target / f"sandbox-{hashlib.sha256(content).hexdigest()[:12]}.tar"
    if not path.exists():
        target.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.rename(path)
    return path
