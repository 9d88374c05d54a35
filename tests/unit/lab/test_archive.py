"""The sandbox image, made without an image tool."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from pgherd_lab import archive
from pgherd_lab.errors import LabError


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: file.read() for each in tar if (file := tar.extractfile(each))}


def test_an_archive_names_its_layer_by_digest() -> None:
    data = archive.sandbox(b"\x7fELF busybox")
    found = members(data)
    (manifest,) = json.loads(found["manifest.json"])
    assert manifest["RepoTags"] == [archive.SANDBOX]
    config = found[manifest["Config"]]
    assert manifest["Config"] == hashlib.sha256(config).hexdigest() + ".json"
    (layer,) = manifest["Layers"]
    assert json.loads(config)["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(found[layer]).hexdigest()]


def test_the_layer_has_what_the_sandbox_and_the_volume_helper_run() -> None:
    found = members(archive.sandbox(b"busybox"))
    with tarfile.open(fileobj=io.BytesIO(found["layer.tar"])) as tar:
        names = {each.name: each for each in tar}
    assert names["bin/busybox"].mode == 0o755
    assert names["tmp"].mode == 0o1777
    for command in ("sh", "sleep", "mkdir", "rm", "chmod"):
        assert names[f"bin/{command}"].linkname == "busybox"
    assert {each.mtime for each in names.values()} == {0}
    assert {each.uid for each in names.values()} == {0}


def test_the_same_busybox_gives_the_same_bytes(tmp_path: Path) -> None:
    assert archive.sandbox(b"busybox") == archive.sandbox(b"busybox")
    (tmp_path / "busybox").write_bytes(b"busybox")
    first = archive.write_sandbox(str(tmp_path / "busybox"), tmp_path / "images")
    (tmp_path / "busybox").write_bytes(b"another busybox")
    assert archive.write_sandbox(str(tmp_path / "busybox"), tmp_path / "images") != first


def test_a_missing_busybox_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="busybox is not installed"):
        archive.write_sandbox(None, tmp_path)
