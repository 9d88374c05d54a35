"""The remote primary of a standby cluster: a plain PostgreSQL, with an authority and an archive of its own.

Reachable from the members' network. Nothing of the product runs there.
"""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

from tests.ha.harness.cluster import PASSWORD, Cluster, verifier
from tests.ha.harness.pki import Authority
from tests.ha.harness.python import USER
from tests.ha.harness.wait import eventually

INDEX = 90
PORT = 5432
ROLES = f"""
create role pgherd_replication login replication;
grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
  pg_read_binary_file(text, bigint, bigint, boolean) to pgherd_replication;
create role demo login password '{verifier(PASSWORD)}';
"""
HBA = """local all all trust
hostssl replication pgherd_replication all cert
hostssl postgres pgherd_replication all cert
"""


class RemotePrimary:
    def __init__(self, cluster: Cluster) -> None:
        self._bin = Path(f"/usr/lib/postgresql/{cluster.version}/bin")
        self._folder = cluster.folder / "remote"
        self._namespace = cluster.network.add(INDEX)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = cluster.network.address(INDEX)
        self.archive = self._folder / "archive"
        self._authority = Authority("remote")
        self._make()
        # What the members need to be let in, and to know whom they talk to: another authority's.
        user = pwd.getpwnam(USER)
        for member in cluster.members.values():
            pair = self._authority.issue("pgherd_replication")
            self._authority.write(member.folder / "tls/remote", pair, user.pw_uid, user.pw_gid)

    def _as_user(self, *command: str) -> list[str]:
        return [
            "nsenter", f"--net=/run/netns/{self._namespace}", "setpriv", f"--reuid={USER}", f"--regid={USER}",
            "--clear-groups", *command,
        ]  # fmt: skip

    def _run(self, *command: str) -> str:
        done = subprocess.run(self._as_user(*command), cwd="/", capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}{done.stdout}")
        return done.stdout

    def _make(self) -> None:
        user = pwd.getpwnam(USER)
        self.archive.mkdir(parents=True)
        for path in (self._folder, self.archive):
            path.chmod(0o755)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self._folder)], check=True)
        self._run(str(self._bin / "initdb"), "-D", self._data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-k")
        pair = self._authority.issue("remote", [], [self.address])
        self._authority.write(self._folder / "tls", pair, user.pw_uid, user.pw_gid)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self._folder / "tls")], check=True)
        (self._folder / "tls/tls.key").chmod(0o600)
        tls = self._folder / "tls"
        conf = {
            "listen_addresses": "*", "port": PORT, "unix_socket_directories": self._folder, "ssl": "on",
            "ssl_cert_file": tls / "tls.crt", "ssl_key_file": tls / "tls.key", "ssl_ca_file": tls / "ca.crt",
            "wal_level": "logical", "wal_log_hints": "on", "archive_mode": "on", "wal_sender_timeout": "5s",
            "archive_command": f"cp %p {self.archive}/%f.new && mv {self.archive}/%f.new {self.archive}/%f",
        }  # fmt: skip
        with Path(self._data, "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in conf.items())
        Path(self._data, "pg_hba.conf").write_text(HBA)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(str(self._bin / "postgres"), "-D", self._data), cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        eventually("the remote primary", lambda: self.sql("select 1") == "1", 60)

    def populate(self) -> None:
        """What a cluster of the product has, too: its roles, and the database of the tests' client."""
        self.sql(ROLES)
        self.sql("create database demo owner demo")
        self.sql("create table written (row bigint primary key); alter table written owner to demo", "demo")

    def sql(self, query: str, database: str = "postgres") -> str:
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self._folder), "-p", str(PORT), "-U", "postgres"]
        return self._run(*psql, "-d", database, "-c", query).strip()

    def write(self, *rows: int) -> None:
        self.sql(f"insert into written values {', '.join(f'({row})' for row in rows)}", "demo")

    def archive_now(self) -> None:
        """All that was written is in the archive when this returns."""
        name = self.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.sql("select pg_switch_wal()")
        eventually(f"{name} in the archive", lambda: (self.archive / name).exists(), 60)

    def stop(self, mode: str = "immediate") -> None:
        if self._process is not None and self._process.poll() is None:
            self._run(str(self._bin / "pg_ctl"), "-D", self._data, "-m", mode, "-w", "stop")
            self._process.wait(60)
        self._process = None

    def words(self, **more: str) -> dict[str, str | int]:
        """`standby_cluster` that names it."""
        return {"host": self.address, "port": PORT, **more}
