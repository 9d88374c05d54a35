"""From the mounted folder to the one in use, all three files or none.

The kubelet swaps what is mounted whenever it likes, and shows keys as 0440 for the pod's group, which libpq refuses. So
a pair is copied with 0600 beside the one in use, proved there, and put in its place by one rename of a symbolic
link. What does not prove itself leaves the one in use alone; where there is none (a new pod), whatever can be loaded at
all is taken: a server with an expired certificate serves more people than none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from pgherd.tls.pair import FILES, Unusable, Usage, load, prove, read


def take(source: Path, target: Path, usage: Usage) -> bool:
    """Copy what changed; whether anything did. Blocks for milliseconds.

    Raises Unusable, and then `target` is as it was.
    """
    files, here = read(source), _in_use(target)
    if files == here:
        return False
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, content in files.items():
            _write(stage / name, content)
        if here is None:
            load(stage)
        else:
            prove(stage, usage)
        _put(stage, target)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return True


def _in_use(target: Path) -> dict[str, bytes] | None:
    try:
        return read(target)
    except Unusable:
        return None


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _put(stage: Path, target: Path) -> None:
    """`target` is a symbolic link to the stage; the folder before it goes."""
    before = target.resolve() if target.is_symlink() else None
    link = stage.with_name(f"{stage.name}.link")
    link.symlink_to(stage.name)
    link.replace(target)
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)


def withhold(target: Path) -> None:
    """Nobody can use the pair any more, until the next `take`."""
    (target / FILES[1]).unlink(missing_ok=True)
