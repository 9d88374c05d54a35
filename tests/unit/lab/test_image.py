"""The image's tag says what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgherd_lab import image
from pgherd_lab.errors import LabError


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "src" / "pgherd").mkdir(parents=True)
    (tmp_path / "Containerfile").write_text("FROM x\n")
    (tmp_path / "requirements.lock").write_text("click==8\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "src" / "pgherd" / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("name", ["Containerfile", "requirements.lock", "pyproject.toml", "src/pgherd/__init__.py"])
def test_each_source_changes_the_tag(context: Path, name: str) -> None:
    before = image.reference(context)
    assert before.startswith("localhost/pgherd:")
    (context / name).write_text("changed")
    assert image.reference(context) != before


def test_a_new_or_renamed_file_changes_the_tag(context: Path) -> None:
    before = image.reference(context)
    (context / "src" / "pgherd" / "new.py").write_text("")
    added = image.reference(context)
    (context / "src" / "pgherd" / "new.py").rename(context / "src" / "pgherd" / "renamed.py")
    assert len({before, added, image.reference(context)}) == 3


def test_what_python_leaves_behind_does_not(context: Path) -> None:
    before = image.reference(context)
    for folder in ("pgherd/__pycache__", "pgherd.egg-info"):
        (context / "src" / folder).mkdir()
        (context / "src" / folder / "x").write_text("left behind")
    assert image.reference(context) == before


def test_a_folder_without_containerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="Containerfile does not exist"):
        image.reference(tmp_path)
