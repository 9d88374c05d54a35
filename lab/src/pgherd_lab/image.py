"""The agent's image: from the one Containerfile that users build too, made here without a registry or a daemon.

The base is a Debian tree of mmdebstrap, wheels are fetched outside and copied in, buildah builds. The tag is a hash
of everything that decides the content, so that an archive that exists needs no build and a node that has the
reference needs no import. Archives, wheels and buildah's storage live in the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pgherd_lab import archive
from pgherd_lab.doctor import IMAGE, ensure
from pgherd_lab.errors import LabError
from pgherd_lab.locks import locked
from pgherd_lab.paths import cache_folder
from pgherd_lab.process import logged, run

SUITE, PYTHON = "trixie", "3.13"
BASE = f"localhost/pgherd-base:{SUITE}"
NAME = "localhost/pgherd"
KEPT = 3
Say = Callable[[str], None]


def sources(context: Path) -> list[Path]:
    """The files that decide the image's content, in a stable order."""
    named = [context / name for name in ("Containerfile", "requirements.lock", "pyproject.toml")]
    if not named[0].exists():
        raise LabError(f"{named[0]} does not exist; --context names the folder that has it")
    code = [
        path
        for path in (context / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any(p.endswith(".egg-info") for p in path.parts)
    ]
    return [path for path in named if path.exists()] + sorted(code)


def digest(context: Path, files: Iterable[Path]) -> str:
    """Of names and contents."""
    total = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(context)} {content}\n".encode())
    return total.hexdigest()[:16]


def reference(context: Path) -> str:
    """`localhost/pgherd:HASH` of the sources as they are now."""
    return f"{NAME}:{digest(context, sources(context))}"


def archive_of(ref: str) -> Path:
    return cache_folder() / "images" / f"pgherd-{ref.rpartition(':')[2]}.tar"


def buildah(*arguments: str, limit: float = 60, driver: str = "overlay") -> str:
    """buildah with storage of its own in the cache; the machine's container storage is not touched."""
    home = cache_folder() / f"buildah-{driver}"
    places = ("--root", str(home), "--runroot", str(home / "run"), "--storage-driver", driver)
    command, variables = ["buildah", *places, *arguments], {"BUILDAH_ISOLATION": "chroot"}
    if arguments[0] == "build":
        logged(command, cache_folder() / "image.log", limit, environment=variables)
        return ""
    return run(command, limit, environment=variables)


def storage_driver(say: Say) -> str:
    """overlay, or vfs (slow, more disk) where overlay cannot be mounted on the cache's file system."""
    try:
        buildah("images", "--quiet")
        return "overlay"
    except LabError as error:
        say(f"buildah cannot use overlay here ({str(error)[-200:]}), using vfs")
        return "vfs"


def base(driver: str, say: Say) -> None:
    """Debian's minimal tree as an image in buildah's storage; made once."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}", driver=driver).split():
        return
    say(f"making the base image: Debian {SUITE}, minimal")
    with tempfile.TemporaryDirectory(prefix="base-", dir=cache_folder()) as work:
        layer, packed = Path(work) / "layer.tar", Path(work) / "base.tar"
        slim = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
        run(
            ["mmdebstrap", "--quiet", "--variant=minbase", *(f"--dpkgopt=path-exclude={path}" for path in slim),
             '--aptopt=Apt::Install-Recommends "false"', SUITE, str(layer)],
            900,
        )  # fmt: skip
        packed.write_bytes(archive.image(BASE, layer.read_bytes(), {"Cmd": ["/bin/bash"]}))
        buildah("pull", "--quiet", f"docker-archive:{packed}", limit=300, driver=driver)


def pip(*arguments: str, limit: float = 600) -> None:
    run([sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], limit)


def requirements(context: Path, say: Say) -> Path:
    """A folder with the wheels of requirements.lock, for the image's Python; fetched once per lock."""
    lock = context / "requirements.lock"
    if not lock.exists():
        raise LabError(f"{lock} does not exist: the image installs exactly what it lists")
    folder = cache_folder() / "wheels" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    say("fetching the wheels of requirements.lock")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as work:
        target = Path(work) / "wheels"
        pip("download", "--python-version", PYTHON, "--only-binary", ":all:", "--requirement", str(lock),
            "--dest", str(target))  # fmt: skip
        target.rename(folder)
    return folder


def agent_wheel(context: Path, target: Path) -> None:
    """The agent's wheel, built from a copy, so that the checkout stays as it is."""
    with tempfile.TemporaryDirectory(prefix="agent-") as work:
        copy = Path(work) / "agent"
        for path in sources(context):
            place = copy / path.relative_to(context)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        pip("wheel", "--no-deps", "--wheel-dir", str(target), str(copy))


def fill_context(context: Path, target: Path, say: Say) -> None:
    """What the Containerfile is built in: itself, and `wheels/` with all that is installed."""
    wheels = target / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("*.whl"):
        old.unlink()
    shutil.copy(context / "Containerfile", target / "Containerfile")
    for wheel in sorted(requirements(context, say).glob("*.whl")):
        shutil.copy2(wheel, wheels)
    agent_wheel(context, wheels)


def pack(ref: str, path: Path, fill: Callable[[Path], None], say: Say, base_image: str = BASE) -> None:
    """Build `ref` in a new folder that `fill` fills with a Containerfile and what it copies; the archive is `path`."""
    driver = storage_driver(say)
    base(driver, say)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="context-", dir=cache_folder()) as work:
        fill(Path(work))
        say(f"building {ref}")
        buildah(
            "build", "--isolation", "chroot", "--layers", "--pull=never", "--build-arg", f"BASE={base_image}",
            "--file", f"{work}/Containerfile", "--tag", ref, work, limit=1500, driver=driver,
        )  # fmt: skip
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    buildah("push", "--quiet", ref, f"docker-archive:{new}:{ref}", limit=300, driver=driver)
    new.rename(path)


def _build(context: Path, ref: str, say: Say) -> None:
    pack(ref, archive_of(ref), lambda work: fill_context(context, work, say), say)
    forget_old(storage_driver(say))


def forget_old(driver: str) -> None:
    """Keep the newest few; every change of the source makes a new image."""
    found = sorted((cache_folder() / "images").glob("pgherd-*.tar"), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEPT]:
        path.unlink()
    kept = {f"{NAME}:{path.stem.removeprefix('pgherd-')}" for path in found[-KEPT:]}
    for ref in buildah("images", "--format", "{{.Name}}:{{.Tag}}", driver=driver).split():
        if ref.startswith(f"{NAME}:") and ref not in kept:
            buildah("rmi", "--force", ref, driver=driver)


def image(context: Path, say: Say) -> str:
    """The reference of the image of these sources, whose archive is in the cache afterwards."""
    ref = reference(context)
    if archive_of(ref).exists():
        os.utime(archive_of(ref))
        return ref
    ensure(IMAGE, say)
    with locked(cache_folder() / "image.lock", "another image build", say):
        if not archive_of(ref).exists():
            began = time.monotonic()
            _build(context, ref, say)
            say(f"built in {time.monotonic() - began:.0f} s, {archive_of(ref).stat().st_size / 1e6:.0f} MB")
    return ref
