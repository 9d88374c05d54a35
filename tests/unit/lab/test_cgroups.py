"""Both versions of cgroups, and machines that have both, are read right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgherd_lab import cgroups

MOUNTS = """\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw
"""
VERSION_1 = "9:name=systemd:/lab/node1/k8s.io/abc\n4:memory:/lab/node1/k8s.io/abc\n0::/lab/node1/k8s.io/abc\n"
VERSION_2 = "0::/lab/node1/k8s.io/abc\n"


def test_mounts_of_both_versions() -> None:
    assert cgroups.parse_mounts(MOUNTS) == [
        ("/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
        ("/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd"),
        ("/sys/fs/cgroup/unified", "cgroup2", "rw"),
    ]


@pytest.mark.parametrize("text", [VERSION_1, VERSION_2])
def test_membership(text: str) -> None:
    assert cgroups.parse_membership(text) == {"/lab/node1/k8s.io/abc"}


def test_a_path_with_colons_is_kept() -> None:
    assert cgroups.parse_membership("0::/a:b/c\n") == {"/a:b/c"}


def test_a_new_cpuset_takes_its_parents_processors(tmp_path: Path) -> None:
    child = tmp_path / "node1"
    child.mkdir()
    (tmp_path / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset.mems").write_text("0\n")
    (child / "cpuset.cpus").write_text("\n")
    (child / "cpuset.mems").write_text("1\n")
    cgroups.copy_cpuset(child)
    assert (child / "cpuset.cpus").read_text() == "0-1\n"
    assert (child / "cpuset.mems").read_text() == "1\n"


def test_processes_of_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [tmp_path / "memory", tmp_path / "cpu"])
    for folder, pids in (("memory/lab/node1", "5\n"), ("memory/lab/node1/pod", "7\n9\n"), ("cpu/lab/node1", "5\n")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cgroup.procs").write_text(pids)
    assert cgroups.members("lab", "node1") == [5, 7, 9]
    assert cgroups.members("lab", "node2") == []
