"""Patroni's image, built by the lab's own image code on top of the agent's image; the archive is kept in the cache.

Its tag is a hash of the agent's reference, Containerfile.patroni and the list of wheels.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from pgherd_lab import image as images
from pgherd_lab.doctor import IMAGE, ensure
from pgherd_lab.locks import locked
from pgherd_lab.paths import cache_folder

HERE = Path(__file__).resolve().parent.parent
CONTAINERFILE, LOCK = HERE / "Containerfile.patroni", HERE / "requirements-patroni.lock"
NAME = "localhost/pgherd-bench-patroni"
SOURCE_ONLY = ("ydiff",)
"""Packages that PyPI has as source only; pure Python, so that any interpreter may build the wheel."""

Say = Callable[[str], None]


def pins() -> dict[str, str]:
    """Package -> version, as locked."""
    lines = (line.partition("#")[0].strip() for line in LOCK.read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def reference(agent: str) -> str:
    content = b"\n".join([agent.encode(), CONTAINERFILE.read_bytes(), LOCK.read_bytes()])
    return f"{NAME}:{hashlib.sha256(content).hexdigest()[:16]}"


def archive_of(ref: str) -> Path:
    return cache_folder() / "images" / f"bench-patroni-{ref.rpartition(':')[2]}.tar"


def _fill(target: Path) -> None:
    wheels = target / "wheels"
    wheels.mkdir()
    shutil.copy(CONTAINERFILE, target / "Containerfile")
    binary = [f"{name}=={version}" for name, version in pins().items() if name not in SOURCE_ONLY]
    source = [f"{name}=={version}" for name, version in pins().items() if name in SOURCE_ONLY]
    images.pip("download", "--python-version", images.PYTHON, "--only-binary", ":all:", "--no-deps",
               "--dest", str(wheels), *binary)  # fmt: skip
    images.pip("wheel", "--no-deps", "--wheel-dir", str(wheels), *source)


def image(agent: str, say: Say) -> tuple[str, Path]:
    """The reference of Patroni's image and its archive. `agent` is the reference of the agent's image, which exists."""
    ref = reference(agent)
    path = archive_of(ref)
    if not path.exists():
        ensure(IMAGE, say)
        with locked(cache_folder() / "image.lock", "another image build", say):
            if not path.exists():
                for old in path.parent.glob("bench-patroni-*.tar"):
                    old.unlink()
                images.pack(ref, path, _fill, say, base_image=agent)
    return ref, path
