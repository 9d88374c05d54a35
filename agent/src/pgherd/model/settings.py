"""What a member is told: static settings (a file the play writes) and dynamic configuration (an annotation).

Static settings change with the pod; dynamic configuration is the only source that agents obey at
run time. Both are refused with the field's path, the value and what is allowed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from pgherd.model import methods, standby, tags
from pgherd.model.lease import LONGEST
from pgherd.model.slots import Matcher, Permanent, SlotName
from pgherd.model.standby import StandbyCluster

Port = Annotated[int, msgspec.Meta(ge=1024, le=65535)]

KNOWN_MAJORS = (14, 15, 16, 17, 18)
LOCKS = ("endpoints", "endpointslice")


class InvalidSetting(ValueError):
    """A value that cannot work; the text names field, value and what is allowed."""


class PostgresSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    bin_directory: str
    data_directory: str
    state_directory: str
    """Ours, on the same volume, outside the data directory."""
    socket_directory: str = "/tmp/postgres"
    port: Port = 5432
    certificates: str = "/pgconf/tls"
    """tls.crt, tls.key, ca.crt of the server; `replication/` with the client's."""


class Volumes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member has beside the volume of its data."""

    wal_directory: str | None = None
    """pg_wal on a volume of its own; None: in the data directory."""
    tablespaces: tuple[str, ...] = ()
    """Directories on volumes of their own, for CREATE TABLESPACE."""


class RestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: Port = 8008
    certificates: str = "/pgconf/tls/rest"
    listen: str = "0.0.0.0"


class KubernetesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lock: str = "endpoints"
    """Kind of the lock object, one of LOCKS; the same for all members."""
    primary_role: str = "primary"
    """What label `role` of the primary's pod says."""
    kubeconfig: str | None = None
    """For process tests; in a pod the service account is used."""


class PoolerAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What members must know of the cluster's poolers."""

    rest_port: Port = 8008
    """Where a pooler's pod is asked to hold its clients back."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cluster: str
    postgres: PostgresSettings
    members: tuple[str, ...]
    """Names of all declared members (pod names)."""
    label_prefix: str = "pgherd.dev/"
    kubernetes: KubernetesSettings = KubernetesSettings()
    rest: RestSettings = RestSettings()
    tags: Mapping[str, Mapping[str, Any]] = {}
    """By member (model.tags)."""
    volumes: Mapping[str, Volumes] = {}
    """By member."""
    bootstrap: Mapping[str, Any] = {}
    """How the data of a new cluster are made (model.methods); empty: initdb. Only its initialiser looks at it."""
    pooler: PoolerAccess | None = None
    """None: the cluster has no poolers, and PostgreSQL no role for them."""

    @property
    def bootstrap_method(self) -> methods.Method:
        return methods.bootstrap_method(self.bootstrap)

    @property
    def lock(self) -> str:
        return f"{self.cluster}-ha"

    @property
    def config(self) -> str:
        return f"{self.cluster}-ha-config"

    @property
    def requests(self) -> str:
        return f"{self.cluster}-ha-failover"

    @property
    def users(self) -> str:
        """Name of the object that declares users and databases (model.access)."""
        return f"{self.cluster}-users"

    @property
    def status(self) -> str:
        return f"{self.cluster}-status"


class Identity(msgspec.Struct, frozen=True):
    """Who this pod is (downward API)."""

    member: str
    namespace: str
    uid: str
    address: str
    """Pod IP."""
    node: str = ""


class PostgresConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    parameters: dict[str, Any] = {}
    pg_hba: tuple[str, ...] = ()
    pg_ident: tuple[str, ...] = ()
    use_pg_rewind: bool = True
    use_slots: bool = True
    """Whether members stream from replication slots; without them declared slots are not kept either."""
    callbacks: Mapping[str, str] = {}
    """Action (CALLBACKS) -> command line, called with action, role and cluster; nothing waits for it."""
    pre_promote: str | None = None
    """Command line that must succeed before a promotion; else it does not happen, and the lease is given up."""
    before_stop: str | None = None
    """Command line that is waited for before a shutdown; its outcome changes nothing."""

    @property
    def restore_command(self) -> str:
        """Of any standby; that of `standby_cluster` comes first on the one that follows the remote primary."""
        named = {name.lower(): value for name, value in self.parameters.items()}
        return str(named.get("restore_command") or "")


LONGEST_HOOK = 3600.0
CALLBACKS = ("on_start", "on_stop", "on_restart", "on_role_change", "on_reload")


POSTGRESQL_KEYS = (*(field.name for field in msgspec.structs.fields(PostgresConfiguration)), "create_replica_methods")


START_LIMIT = 300.0


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Dynamic configuration in Patroni's shape. Times in seconds, sizes in bytes."""

    ttl: float = 10
    loop_wait: float = 3
    retry_timeout: float = 3
    maximum_lag_on_failover: int = 1048576
    early_takeover_delay: float = 3
    primary_start_timeout: float = START_LIMIT
    primary_stop_timeout: float = 60
    hook_timeout: float = 60
    """Of each callback and hook; before_stop has half of its shutdown's time at most."""
    member_slots_ttl: float = 1800
    failsafe_mode: bool = True
    """Whether a holder that cannot renew goes on by the promises of all candidates (docs/failsafe.md)."""
    pause: bool = False
    """Maintenance is wanted; it holds only once the lease's holder has recorded it (ha-protocol §5, "Pause")."""
    synchronous_mode: bool | str = False
    """on, off or quorum; truth values as Patroni takes them (S3)."""
    synchronous_mode_strict: bool = False
    """Commits wait rather than be acknowledged by the primary alone."""
    synchronous_node_count: int = 1
    maximum_lag_on_syncnode: int = -1
    """Bytes behind the best replica beyond which a member is not synchronous; -1 is no limit."""
    allow_data_loss_reclone: bool = True
    """Whether a diverged data directory may be replaced by a clone after its divergent WAL was kept aside (S5)."""
    slots: dict[SlotName, Permanent | None] = {}
    """Permanent slots; nothing after a name means physical."""
    permanent_slots: dict[SlotName, Permanent | None] = {}
    permanent_replication_slots: dict[SlotName, Permanent | None] = {}
    """Patroni's older names of the same."""
    ignore_slots: tuple[Matcher, ...] = ()
    standby_cluster: StandbyCluster | None = None
    """The lease's holder follows that primary and is not promoted (docs/standby-cluster.md)."""
    postgresql: PostgresConfiguration = PostgresConfiguration()
    clone_methods: tuple[methods.Method, ...] = (methods.BASEBACKUP,)
    """In order. Not a key of its own: `postgresql.create_replica_methods` and the sections that it names."""

    @property
    def permanent(self) -> dict[str, Permanent]:
        """Declared slots of a cluster of this type; none without `use_slots`. A standby cluster has no logical ones."""
        declared = {**self.permanent_replication_slots, **self.permanent_slots, **self.slots}
        if not self.postgresql.use_slots:
            return {}
        found = {name: slot or Permanent() for name, slot in declared.items()}
        if self.standby_cluster is not None:
            return {n: slot for n, slot in found.items() if slot.cluster_type != "primary" and slot.kind == "physical"}
        return {name: slot for name, slot in found.items() if slot.cluster_type != "standby"}

    @property
    def logical_slots(self) -> dict[str, Permanent]:
        return {name: slot for name, slot in self.permanent.items() if slot.kind == "logical"}

    @property
    def start_limit(self) -> float:
        """Seconds for a start that goes on: 0 is for a lease that is handed over at once where somebody can take it."""
        return self.primary_start_timeout or START_LIMIT

    @property
    def promotion_limit(self) -> float:
        """Seconds for a promotion, its hook included."""
        return self.start_limit + (self.hook_timeout if self.postgresql.pre_promote is not None else 0.0)

    @property
    def margin(self) -> float:
        return margin(self.ttl)

    @property
    def synchronous(self) -> bool:
        """Whether commits are to wait; a standby cluster has none."""
        return self.standby_cluster is None and self.commits_wait

    @property
    def commits_wait(self) -> bool:
        """The same for who is a primary yet, or goes on as one where `standby_cluster` is refused."""
        return self.synchronous_mode in (True, "on", "quorum")

    @property
    def quorum(self) -> bool:
        return self.synchronous_mode == "quorum"


def margin(ttl: float) -> float:
    """Seconds before a lease's end at which its holder's PostgreSQL must be dead: covers clock drift
    (1 % on both sides), CPU quota and page faults."""
    return max(1.0, ttl / 10)


def promise_limit(ttl: float) -> float:
    """Seconds that a round of failsafe promises may take."""
    return 1.0 if ttl >= 5 else 0.5


def check_timing(configuration: Configuration) -> None:
    """Refuse timing that the protocol cannot keep. Raises InvalidSetting."""
    for field, least in (("ttl", 3.0), ("loop_wait", 0.5), ("retry_timeout", 0.5)):
        value = getattr(configuration, field)
        if value < least:
            raise InvalidSetting(f"{field}={value:g}: must be at least {least:g} s")
    for field in ("primary_start_timeout", "primary_stop_timeout"):
        value = getattr(configuration, field)
        if value < 0:
            raise InvalidSetting(f"{field}={value:g}: must be at least 0 s")
    if configuration.ttl > LONGEST:
        raise InvalidSetting(f"ttl={configuration.ttl:g}: must be at most {LONGEST:g} s")
    promises = promise_limit(configuration.ttl)
    needed = configuration.loop_wait + configuration.retry_timeout + promises + configuration.margin
    if configuration.ttl < needed:
        raise InvalidSetting(
            f"ttl={configuration.ttl:g}: must be at least {needed:g} s = loop_wait {configuration.loop_wait:g}"
            f" + retry_timeout {configuration.retry_timeout:g} + {promises:g} for promises"
            f" + margin {configuration.margin:g}"
        )


def check_synchronous(configuration: Configuration) -> None:
    """Refuse what synchronous replication cannot mean. Raises InvalidSetting."""
    mode = configuration.synchronous_mode
    if mode not in (True, False, "on", "off", "quorum"):
        raise InvalidSetting(f"synchronous_mode={mode!r}: must be on, off or quorum")
    for field, least in (("synchronous_node_count", 1), ("maximum_lag_on_syncnode", -1)):
        if getattr(configuration, field) < least:
            raise InvalidSetting(f"{field}={getattr(configuration, field)}: must be at least {least}")


def check_standby(configuration: Configuration) -> None:
    """Raises InvalidSetting."""
    wanted = configuration.standby_cluster
    if wanted is not None and (why := standby.problem(wanted)) is not None:
        raise InvalidSetting(f"standby_cluster.{why}")
    command = configuration.postgresql.restore_command
    if (why := standby.command_problem("restore_command", command, ("%f", "%p"))) is not None:
        raise InvalidSetting(f"postgresql.parameters.{why}")


def read_settings(text: str) -> Settings:
    """Settings from YAML text. Raises InvalidSetting with the field's path."""
    try:
        settings = msgspec.yaml.decode(text, type=Settings)
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"pgherd.yaml: {error}") from None
    if settings.postgres.version not in KNOWN_MAJORS:
        raise InvalidSetting(
            f"postgres.version={settings.postgres.version}: must be one of {', '.join(map(str, KNOWN_MAJORS))}"
        )
    if settings.kubernetes.lock not in LOCKS:
        raise InvalidSetting(f"kubernetes.lock={settings.kubernetes.lock!r}: must be one of {', '.join(LOCKS)}")
    check_tags(settings)
    try:
        methods.bootstrap_method(settings.bootstrap)
    except methods.Unusable as error:
        raise InvalidSetting(str(error)) from None
    return settings


def check_tags(settings: Settings) -> None:
    """Raises InvalidSetting naming member, tag, value and what is allowed."""
    for member, given in settings.tags.items():
        if member not in settings.members:
            raise InvalidSetting(f"tags.{member}: must be one of the members {', '.join(settings.members)}")
        for name, value in given.items():
            why = tags.problem(name, value, member, settings.members)
            if why is not None:
                raise InvalidSetting(f"tags.{member}.{name}={value!r}: {why}")
    if all(tags.never_leads(tags.published(settings.tags.get(member, {}))) for member in settings.members):
        raise InvalidSetting(
            "tags: no member may lead; at least one must be without nofailover and failover_priority 0"
        )


def read_configuration(text: str | None) -> Configuration:
    """Dynamic configuration from the annotation's JSON; defaults without one. Raises InvalidSetting."""
    try:
        document = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
        document.pop("clone_methods", None)
        found = methods.clone_methods(document.get("postgresql"), POSTGRESQL_KEYS)
        configuration = msgspec.structs.replace(msgspec.convert(document, Configuration), clone_methods=found)
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"annotation config: {error}") from None
    except methods.Unusable as error:
        raise InvalidSetting(str(error)) from None
    check_timing(configuration)
    check_synchronous(configuration)
    check_standby(configuration)
    check_hooks(configuration)
    return configuration


def check_hooks(configuration: Configuration) -> None:
    """Raises InvalidSetting naming the hook, or their time limit."""
    postgresql, limit = configuration.postgresql, configuration.hook_timeout
    if not 1 <= limit <= LONGEST_HOOK:
        raise InvalidSetting(f"hook_timeout={limit:g}: must be from 1 to {LONGEST_HOOK:g} s")
    hooks = {f"callbacks.{name}": command for name, command in postgresql.callbacks.items()}
    for name in postgresql.callbacks:
        if name not in CALLBACKS:
            raise InvalidSetting(f"postgresql.callbacks.{name}: must be one of {', '.join(CALLBACKS)}")
    hooks |= {name: text for name in ("pre_promote", "before_stop") if (text := getattr(postgresql, name)) is not None}
    for name, command in hooks.items():
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise InvalidSetting(f"postgresql.{name}={command!r}: is no command line: {error}") from None
        if not words or not words[0].startswith("/"):
            raise InvalidSetting(f"postgresql.{name}={command!r}: must begin with the absolute path of a program")
