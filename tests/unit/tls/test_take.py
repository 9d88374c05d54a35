"""What is mounted is proved before it replaces what is in use."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from pgherd.tls.pair import Unusable, Usage, facts, fingerprints, prove, signature
from pgherd.tls.take import take, withhold
from tests.unit.rest.stand_ins import Authority

AUTHORITY, STRANGER = Authority(), Authority("another-ca")
BOTH = Usage.SERVER | Usage.CLIENT


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    return AUTHORITY.write(tmp_path / "mounted", "demo-a-0")


@pytest.fixture
def used(tmp_path: Path) -> Path:
    return tmp_path / "copies/used"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}


def swap(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)


def test_a_pair_that_works_is_copied_for_its_owner_alone(mounted: Path, used: Path) -> None:
    assert take(mounted, used, BOTH) and not take(mounted, used, BOTH)
    assert contents(used) == contents(mounted)
    assert {path.stat().st_mode & 0o777 for path in used.iterdir()} == {0o600}


def test_a_renewed_pair_replaces_all_three_files_and_leaves_nothing_behind(mounted: Path, used: Path) -> None:
    take(mounted, used, BOTH)
    before, seen = contents(used), signature(used)
    AUTHORITY.write(mounted, "demo-a-0")
    assert take(mounted, used, BOTH)
    assert contents(used) == contents(mounted) != before and signature(used) != seen
    assert {path.name for path in used.parent.iterdir()} == {"used", used.resolve().name}


def pair_of(authority: Authority, folder: Path, **dates: datetime.datetime) -> dict[str, bytes]:
    return contents(authority.write(folder, "demo-a-0", **dates))


@pytest.mark.parametrize("usage", [Usage.SERVER, Usage.CLIENT, BOTH])
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("another key", "do not belong together"),
        ("half a key", "cannot be loaded"),
        ("another authority", "does not verify against ca.crt"),
        ("expired", "expired"),
        ("not yet", "not yet valid"),
        ("no authority", "ca.crt cannot be loaded"),
        ("missing", "tls.key: No such file"),
    ],
)
def test_what_a_peer_would_refuse_is_refused(
    broken: str, said: str, usage: Usage, mounted: Path, used: Path, tmp_path: Path
) -> None:
    take(mounted, used, usage)
    before = contents(used)
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    if broken == "another key":
        swap(mounted, tls_key=pair_of(AUTHORITY, tmp_path / "x")["tls.key"])
    elif broken == "half a key":
        swap(mounted, tls_key=before["tls.key"][:60])
    elif broken == "another authority":
        swap(mounted, ca_crt=pair_of(STRANGER, tmp_path / "x")["ca.crt"])
    elif broken == "expired":
        AUTHORITY.write(mounted, "demo-a-0", begins=now - 2 * day, ends=now - day)
    elif broken == "not yet":
        AUTHORITY.write(mounted, "demo-a-0", begins=now + day, ends=now + 2 * day)
    elif broken == "no authority":
        swap(mounted, ca_crt=b"")
    else:
        (mounted / "tls.key").unlink()
    with pytest.raises(Unusable, match=said):
        take(mounted, used, usage)
    assert contents(used) == before


def test_a_new_pod_serves_with_what_can_be_loaded_and_says_what_is_wrong(mounted: Path, used: Path) -> None:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    AUTHORITY.write(mounted, "demo-a-0", begins=now - 2 * day, ends=now - day)
    assert take(mounted, used, Usage.SERVER)
    state = facts(used, Usage.SERVER)
    assert state.serves and state.expires is None and "expired" in state.refused


def test_without_any_the_folder_is_named(tmp_path: Path, used: Path) -> None:
    with pytest.raises(Unusable, match=str(tmp_path / "nowhere")):
        take(tmp_path / "nowhere", used, Usage.SERVER)
    assert not used.exists() and "No such file" in facts(used, Usage.SERVER).refused


def test_a_withheld_key_comes_back_with_the_next_take(mounted: Path, used: Path) -> None:
    take(mounted, used, Usage.CLIENT)
    withhold(used)
    withhold(used)
    assert not (used / "tls.key").exists()
    assert take(mounted, used, Usage.CLIENT) and (used / "tls.key").exists()


def test_facts_are_those_of_the_files(mounted: Path) -> None:
    both = (mounted / "ca.crt").read_bytes() + pair_of(STRANGER, mounted.parent / "x")["ca.crt"]
    swap(mounted, ca_crt=both)
    state = facts(mounted, BOTH)
    assert (state.serves,) == fingerprints((mounted / "tls.crt").read_bytes())
    assert state.trusts == fingerprints(both) and len(state.trusts) == 2 and not state.refused
    seconds = prove(mounted, BOTH) - datetime.datetime.now(datetime.UTC).timestamp()
    assert 0 < seconds <= 24 * 3600 and state.expires == prove(mounted, BOTH)
    assert len(state.serves) == 64 and ssl.PEM_cert_to_DER_cert((mounted / "tls.crt").read_text())
