"""Users and databases, declared through the real API: a change is applied by the primary, whoever that is by then."""

from __future__ import annotations

from pgherd.model.access import Code, Report
from tests.ha.harness.cluster import Cluster, verifier
from tests.ha.harness.member import Member
from tests.ha.harness.wait import eventually

APP = {"name": "app", "secret": "demo-pguser-app", "databases": ["shop"], "options": "CONNECTION LIMIT 5"}
DEMO = {"name": "demo", "secret": "demo-pguser-demo", "databases": ["demo"]}
SOON = 30.0
"""Seconds for what takes one: the machine is busy."""


def reported(cluster: Cluster, revision: str, user: str = "app", code: Code = Code.APPLIED) -> Report:
    """The primary's report on this declaration, once it says so of the user."""

    def look() -> Report | None:
        found = cluster.objects.report()
        said = found.users.get(user) if found and found.revision == revision else None
        return found if said is not None and said.code is code else None

    return eventually(f"{user} is {code.value}", look, SOON)


def logs_in(cluster: Cluster, member: Member, password: str) -> bool:
    return cluster.database_of("app", password, "shop").ask(member.address, "select 1") == [(1,)]


def test_a_changed_secret_is_applied_by_the_primary_of_the_moment(running: Cluster, leader: Member) -> None:
    cluster, objects = running, running.objects
    revision = objects.declare(users=[DEMO, APP])
    reported(cluster, revision, code=Code.SECRET_MISSING)
    objects.secret("app", {"password": "geheim-first", "verifier": verifier("geheim-first")})
    reported(cluster, revision)
    eventually("it logs in", lambda: logs_in(cluster, leader, "geheim-first"), SOON)

    objects.secret("app", {"password": "geheim-second", "verifier": ""})  # by hand: the agent computes it
    eventually("the new password is good", lambda: logs_in(cluster, leader, "geheim-second"), SOON)

    cluster.vanish(leader)
    objects.secret("app", {"password": "geheim-third", "verifier": verifier("geheim-third")})
    revision = objects.declare(users=[DEMO, APP], databases=[{"name": "log", "owner": "app"}])
    leader.report()
    new = eventually("a new leader", lambda: cluster.writable(leader), cluster.ttl + 30)
    eventually("what was changed meanwhile is applied", lambda: logs_in(cluster, new, "geheim-third"), SOON)
    report = reported(cluster, revision)
    assert report.member == new.name and report.databases["log"].code is Code.APPLIED
    assert new.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'log'") == [["app"]]
    assert report.repaired == 0, report.drift
    for member in cluster.members.values():
        text = member.log.read_text(errors="replace")
        assert "geheim" not in text and "SCRAM-SHA-256$" not in text


def test_what_is_changed_by_hand_is_put_back_and_reported_and_an_absent_user_goes(
    running: Cluster, leader: Member
) -> None:
    cluster, objects = running, running.objects
    objects.secret("app", {"password": "geheim-first", "verifier": verifier("geheim-first")})
    revision = objects.declare(users=[DEMO, APP])
    reported(cluster, revision)
    leader.sql("alter role app nologin connection limit 1 password null")
    report = eventually("it is put back", lambda: (found := objects.report()) and found.repaired and found, 60)
    assert {drift.what for drift in report.drift} == {
        "set the password of role app", "set the options of role app"
    }  # fmt: skip
    assert logs_in(cluster, leader, "geheim-first")
    shown = leader.command("users")
    assert shown.returncode == 0 and "changed by hand and put back: set the options of role app" in shown.stdout

    leader.sql("create table app.orders as select 1", "shop")
    leader.sql("alter table app.orders owner to app", "shop")
    absent = {"name": "app", "state": "absent"}
    said = reported(cluster, objects.declare(users=[DEMO, absent]), code=Code.OWNS_OBJECTS).users["app"]
    assert "2 in database shop" in said.text
    assert leader.sql("select rolcanlogin from pg_roles where rolname = 'app'") == [["f"]]
    assert leader.command("users").returncode == 1
    reported(cluster, objects.declare(users=[DEMO, {**absent, "reassign_to": "demo"}]), code=Code.ABSENT)
    assert leader.sql("select tableowner from pg_tables where tablename = 'orders'", "shop") == [["demo"]]

    wrong = objects.declare(users=[{**DEMO, "surplus": 1}])
    report = eventually(
        "it is refused", lambda: (found := objects.report()) and found.revision == wrong and found, SOON
    )
    assert "surplus" in report.trouble
    assert cluster.database.ask(leader.address, "select 1") == [(1,)], "what there was stays"
