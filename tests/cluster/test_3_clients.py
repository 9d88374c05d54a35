"""What clients may and may not do: TLS, certificates, routing, verifiers, the pod's confinement."""

from __future__ import annotations

import pytest

from pgherd_lab.demo.console import Failed
from tests.cluster.stage import Stage, eventually

FULL = {"pgsslmode": "verify-full", "pgsslrootcert": "/cluster/ca.crt", "pgconnect_timeout": "5"}


@pytest.fixture(scope="module")
def client(cluster: Stage) -> str:
    cluster.client("client")
    return "client"


def addresses(cluster: Stage) -> dict[str, str]:
    return {name: cluster.cluster.get("pod", name)["status"]["podIP"] for name in cluster.cluster.pods()}


def test_the_users_uri_works_with_full_verification(cluster: Stage, client: str) -> None:
    shown = cluster.psql(client, "$URI", "SELECT current_user, pg_is_in_recovery()", **FULL)
    assert shown == "demo|f"


def test_another_authority_is_refused(cluster: Stage, client: str) -> None:
    python = (
        "import ssl, pathlib; other = ssl.get_server_certificate(('kubernetes.default.svc', 443));"
        "pathlib.Path('/data/other.crt').write_text(other)"
    )
    cluster.cluster.execute(client, "python3", "-c", python)
    with pytest.raises(Failed, match="certificate verify failed"):
        cluster.psql(client, "$URI", "SELECT 1", **{**FULL, "pgsslrootcert": "/data/other.crt"})


def test_every_member_refuses_plain_text(cluster: Stage, client: str) -> None:
    for address in addresses(cluster).values():
        with pytest.raises(Failed, match="no encryption|no pg_hba.conf entry"):
            cluster.psql(client, f"host={address} dbname=demo user=demo sslmode=disable", "SELECT 1")


def test_connections_for_reads_reach_standbys(cluster: Stage, client: str) -> None:
    script = (
        "import os, psycopg\n"
        "for n in range(20):\n"
        "    with psycopg.connect(os.environ['URI'], host='demo-replicas', sslmode='verify-full',"
        " sslrootcert='/cluster/ca.crt', connect_timeout=5) as c:\n"
        "        print(c.execute('SELECT pg_is_in_recovery()').fetchone()[0])\n"
    )
    shown = cluster.cluster.execute(client, "python3", "-c", script, limit=60).split()
    assert shown == ["True"] * 20


def test_replicas_present_their_certificate(cluster: Stage) -> None:
    leader = cluster.cluster.lock()["leader"]
    statement = (
        "SELECT r.application_name, s.ssl, s.client_dn"
        " FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid) ORDER BY 1"
    )
    shown = cluster.cluster.execute(leader, "psql", "-XAtc", statement).split("\n")
    found = [line.split("|") for line in shown if line]
    assert [row[0] for row in found] == sorted(name for name in cluster.cluster.pods() if name != leader)
    assert all(row[1:] == ["t", "/CN=pgherd_replication"] for row in found), found


def test_every_verifier_is_scram(cluster: Stage) -> None:
    leader = cluster.cluster.lock()["leader"]
    statement = "SELECT rolname, left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL"
    shown = cluster.cluster.execute(leader, "psql", "-XAtc", statement).split()
    assert shown == ["demo|SCRAM-SHA-256$"]


def test_the_container_is_confined(cluster: Stage) -> None:
    pod = sorted(cluster.cluster.pods())[0]
    status = cluster.cluster.execute(pod, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["26"] * 4
    assert int(fields["CapEff"], 16) == 0 and int(fields["CapBnd"], 16) == 0
    with pytest.raises(Failed, match="Read-only file system"):
        cluster.cluster.execute(pod, "touch", "/etc/written")
    from pgherd_lab.demo.objects import NAMESPACE

    labels = cluster.cluster.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_rest_api_refuses_plain_http(cluster: Stage, client: str) -> None:
    address = next(iter(addresses(cluster).values()))
    plain = f"import urllib.request; print(urllib.request.urlopen('http://{address}:8008/health', timeout=5).status)"
    with pytest.raises(Failed, match="RemoteDisconnected|Connection reset|BadStatusLine|HTTPException"):
        cluster.cluster.execute(client, "python3", "-c", plain)
    encrypted = (
        "import ssl, urllib.request\n"
        "c = ssl.create_default_context(cafile='/cluster/ca.crt'); c.check_hostname = False\n"
        f"print(urllib.request.urlopen('https://{address}:8008/health', timeout=5, context=c).status)"
    )
    shown = eventually("HTTPS answers", lambda: cluster.cluster.execute(client, "python3", "-c", encrypted))
    assert shown.strip() == "200"
