"""What a data directory has on other volumes, reached through its own symlinks: WAL and tablespaces.

A directory out there belongs to the data directory whose link names it. So renaming a data directory takes all of it
along in one step, and a copy in the making needs another name beside the one in use: `home`, `home.1`, ...
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from pgherd.postgres.layout import Layout


def filled(directory: Path) -> bool:
    try:
        return any(directory.iterdir())
    except FileNotFoundError:
        return False


def fresh(home: Path) -> Path:
    """A name that nothing is in yet."""
    return next(path for path in _names(home) if not filled(path))


def _names(home: Path) -> Iterator[Path]:
    yield home
    yield from (home.with_name(f"{home.name}.{number}") for number in count(1))


def linked(directory: Path) -> frozenset[Path]:
    """Where the links of a data directory lead, whether or not anything is there."""
    tablespaces = directory / "pg_tblspc"
    links = [directory / "pg_wal", *(tablespaces.iterdir() if tablespaces.is_dir() else ())]
    return frozenset(Path(os.path.realpath(link)) for link in links if link.is_symlink())


def ours(layout: Layout, path: Path) -> bool:
    """Whether it is a place on this member's own volumes for WAL and tablespaces."""
    homes = [home for home in (layout.wal_home, *layout.tablespaces) if home is not None]
    names = ((Path(os.path.realpath(home.parent)), home.name) for home in homes)
    return any(
        path.parent == parent and (path.name == name or path.name.startswith(f"{name}.")) for parent, name in names
    )


def disown(layout: Layout, directory: Path) -> tuple[Path, ...]:
    """Unlink what leads anywhere but to the own volumes: a program of the user may have copied another server's links,
    and what is there is not to be deleted along with the copy. Where they led."""
    tablespaces = directory / "pg_tblspc"
    links = [directory / "pg_wal", *(tablespaces.iterdir() if tablespaces.is_dir() else ())]
    strange = {link: Path(os.path.realpath(link)) for link in links if link.is_symlink()}
    strange = {link: path for link, path in strange.items() if not ours(layout, path)}
    for link in strange:
        link.unlink()
    return tuple(sorted(strange.values()))


def remove(layout: Layout, directory: Path) -> None:
    """Delete a directory that is no member's data, what it has outside first: then a crash leaves nothing unnamed."""
    for path in linked(directory) - linked(layout.data):
        _clear(layout, path)
    if directory.exists():
        shutil.rmtree(directory)


def sweep(layout: Layout) -> None:
    """Delete what a copy that was cut short left in tablespaces' places: the links to them come last.

    WAL that no link names is left alone: it may be all that there is of a lost data directory (S5). Called while
    PostgreSQL is stopped and no other copy of the data directory is there.
    """
    used = linked(layout.data)
    for home in layout.tablespaces if filled(layout.data) else ():
        for path in home.parent.glob(f"{home.name}*"):
            ours = path.name == home.name or path.name.startswith(f"{home.name}.")
            if ours and path.is_dir() and Path(os.path.realpath(path)) not in used:
                _clear(layout, path)


def _clear(layout: Layout, path: Path) -> None:
    """Of a tablespace only what PostgreSQL made: it may be anywhere, beside anything."""
    if layout.wal_home is not None and path.parent == Path(os.path.realpath(layout.wal_home.parent)):
        shutil.rmtree(path, ignore_errors=True)
        return
    for version in path.glob("PG_*"):
        shutil.rmtree(version, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.rmdir()


def waldir(layout: Layout) -> list[str]:
    """Options of initdb and pg_basebackup that put pg_wal on its own volume."""
    return [] if layout.wal_home is None else ["--waldir", str(fresh(layout.wal_home))]


def mappings(layout: Layout, tablespaces: list[str]) -> list[str]:
    """Options of pg_basebackup: tablespaces where the source has them, or beside what is there still."""
    places = {location: fresh(_home(layout, Path(location))) for location in tablespaces}
    return [f"--tablespace-mapping={_escaped(old)}={_escaped(str(new))}" for old, new in places.items()]


def _home(layout: Layout, location: Path) -> Path:
    """The source may have a numbered name of its own."""
    homes = (home for home in layout.tablespaces if location.parent == home.parent)
    return next((home for home in homes if location.name.startswith(f"{home.name}.")), location)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace("=", "\\=")
