"""Each lack is one sentence that says what to do."""

from __future__ import annotations

import pytest

from pgherd_lab import build, doctor
from pgherd_lab.errors import LabError


def test_too_little_disk_and_memory_are_said_with_figures() -> None:
    from pathlib import Path

    assert "has 3.0 GiB free; the lab needs 15" in doctor.check_disk(Path("/cache"), 3 * doctor.GIB).problem
    assert doctor.check_disk(Path("/cache"), 15 * doctor.GIB).problem == ""
    assert "has 2.0 GiB of memory" in doctor.check_memory(2 * doctor.GIB).problem
    assert doctor.check_memory(6 * doctor.GIB).problem == ""


def test_another_system_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    findings = doctor.examine()
    assert [finding.subject for finding in findings] == ["system", "root"]
    assert findings[0].problem.startswith("the lab needs Linux, this is Darwin")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "present", lambda file: file not in ("nft", "unshare"))
    assert doctor.missing(tuple(doctor.PACKAGES)) == ["nftables", "util-linux"]
    assert "nftables util-linux" in doctor.check_packages().problem


def test_without_root_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(doctor, "which", lambda _: "/usr/bin/apt-get")
    with pytest.raises(LabError, match="run 'apt-get install runc' as root"):
        doctor.install(["runc"], print)


def test_without_apt_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "which", lambda _: None)
    with pytest.raises(LabError, match="missing: runc; there is no apt-get here"):
        doctor.install(["runc"], print)


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go version go1.27 linux/arm64", (1, 27)), ("nonsense", ())],
)
def test_the_version_of_go_is_read(text: str, version: tuple[int, ...]) -> None:
    assert build.go_version(text) == version
    assert (version >= build.OLDEST) == bool(version)
