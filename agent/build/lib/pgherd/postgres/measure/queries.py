"""Every query of `/metrics`, PostgreSQL 14 to 18. Asked as role pg_monitor, read only (`gather`).

Where versions differ there is one SQL for each range. What only a primary or only a standby has is NULL on the other.
"""

from __future__ import annotations

from pgherd.postgres.measure.query import Query, query

HERE = """CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
              ELSE pg_current_wal_lsn() END"""

SERVER = query(
    "server",
    """
    SELECT extract(epoch FROM pg_postmaster_start_time()) AS start_time_seconds,
           extract(epoch FROM pg_conf_load_time()) AS configuration_loaded_timestamp_seconds,
           current_setting('max_connections')::int AS connections_max,
           current_setting('superuser_reserved_connections')::int AS connections_reserved,
           (current_setting('archive_mode') <> 'off')::int AS archive_enabled,
           CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::int END AS replay_paused,
           CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM pg_last_xact_replay_timestamp()) END
             AS last_replayed_commit_timestamp_seconds,
           CASE WHEN NOT pg_is_in_recovery() THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                     AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS replay_lag_seconds,
           (SELECT extract(epoch FROM last_msg_receipt_time) FROM pg_stat_wal_receiver)
             AS receiver_last_message_timestamp_seconds
    """,
    {
        "start_time_seconds": ("gauge", "When the postmaster started, as Unix time."),
        "configuration_loaded_timestamp_seconds": ("gauge", "When its configuration was loaded last, as Unix time."),
        "connections_max": ("gauge", "max_connections."),
        "connections_reserved": ("gauge", "superuser_reserved_connections: not for clients."),
        "archive_enabled": ("gauge", "archive_mode is not off."),
        "replay_paused": ("gauge", "Standby: somebody has paused replay."),
        "last_replayed_commit_timestamp_seconds": ("gauge", "Standby: commit time of the last transaction replayed."),
        "replay_lag_seconds": (
            "gauge",
            "Standby: age of the last transaction replayed, 0 when everything received is replayed and it streams.",
        ),
        "receiver_last_message_timestamp_seconds": ("gauge", "Standby: when its upstream was last heard, Unix time."),
    },
)

CONNECTIONS = query(
    "connections",
    """
    SELECT states.state, count(a.pid) AS connections
      FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
                   ('fastpath function call'), ('disabled')) AS states (state)
      LEFT JOIN pg_stat_activity AS a
        ON a.state = states.state AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
     GROUP BY states.state
    """,
    {"connections": ("gauge", "Client connections by state.")},
    ("state",),
)

ACTIVITY = query(
    "activity",
    """
    SELECT count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_locks,
           count(*) FILTER (WHERE wait_event = 'SyncRep') AS commits_waiting_for_standbys,
           count(*) FILTER (WHERE backend_type = 'autovacuum worker') AS autovacuum_workers,
           coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)
             FILTER (WHERE backend_type = 'client backend')), 0) AS longest_transaction_seconds,
           coalesce(extract(epoch FROM clock_timestamp() - min(state_change)
             FILTER (WHERE state LIKE 'idle in transaction%')), 0) AS longest_idle_in_transaction_seconds,
           coalesce(max(age(backend_xmin)), 0) AS oldest_snapshot_transactions,
           (SELECT count(*) FROM pg_prepared_xacts) AS prepared_transactions,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(prepared)), 0) FROM pg_prepared_xacts)
             AS oldest_prepared_transaction_seconds
      FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    """,
    {
        "waiting_for_locks": ("gauge", "Processes that wait for a lock."),
        "commits_waiting_for_standbys": ("gauge", "Commits that wait for a synchronous standby."),
        "autovacuum_workers": ("gauge", "Autovacuum workers at work."),
        "longest_transaction_seconds": ("gauge", "Age of the oldest open transaction of a client."),
        "longest_idle_in_transaction_seconds": ("gauge", "Longest time that a client does nothing in a transaction."),
        "oldest_snapshot_transactions": ("gauge", "Transactions since the oldest snapshot: what vacuum cannot remove."),
        "prepared_transactions": ("gauge", "Prepared transactions (two-phase commit)."),
        "oldest_prepared_transaction_seconds": ("gauge", "Age of the oldest one."),
    },
)

DATABASES = query(
    "databases",
    """
    SELECT d.datname AS database, s.xact_commit AS commits_total, s.xact_rollback AS rollbacks_total,
           s.blks_hit AS blocks_hit_total, s.blks_read AS blocks_read_total, s.temp_files AS temporary_files_total,
           s.temp_bytes AS temporary_bytes_total, s.deadlocks AS deadlocks_total,
           s.checksum_failures AS checksum_failures_total, s.conflicts AS replication_conflicts_total,
           s.tup_inserted AS rows_inserted_total, s.tup_updated AS rows_updated_total,
           s.tup_deleted AS rows_deleted_total, s.tup_fetched AS rows_fetched_total,
           age(d.datfrozenxid) AS frozen_transaction_age, mxid_age(d.datminmxid) AS frozen_multixact_age
      FROM pg_database AS d LEFT JOIN pg_stat_database AS s ON s.datid = d.oid
     ORDER BY age(d.datfrozenxid) DESC, d.oid
    """,
    {
        "commits_total": ("counter", "Transactions committed."),
        "rollbacks_total": ("counter", "Transactions rolled back."),
        "blocks_hit_total": ("counter", "Blocks found in shared buffers."),
        "blocks_read_total": ("counter", "Blocks read from the operating system."),
        "temporary_files_total": ("counter", "Temporary files written."),
        "temporary_bytes_total": ("counter", "Bytes written to temporary files."),
        "deadlocks_total": ("counter", "Deadlocks."),
        "checksum_failures_total": ("counter", "Blocks whose checksum was wrong: damaged data."),
        "replication_conflicts_total": ("counter", "Standby: queries cancelled for replay."),
        "rows_inserted_total": ("counter", "Rows inserted."),
        "rows_updated_total": ("counter", "Rows updated."),
        "rows_deleted_total": ("counter", "Rows deleted."),
        "rows_fetched_total": ("counter", "Rows fetched by index scans."),
        "frozen_transaction_age": ("gauge", "Transactions since the oldest unfrozen one; writes stop at 2 billion."),
        "frozen_multixact_age": ("gauge", "The same of multixacts."),
    },
    ("database",),
)

SIZES = query(
    "sizes",
    """
    SELECT datname AS database, pg_database_size(oid) AS database_size_bytes
      FROM pg_database WHERE datallowconn ORDER BY 2 DESC
    """,
    {"database_size_bytes": ("gauge", "Size on disk; looked up every five minutes.")},
    ("database",),
    every=300.0,
)

_CONFLICTS = """
    SELECT reasons.reason, sum(reasons.cancelled) AS conflicts_total
      FROM pg_stat_database_conflicts
      CROSS JOIN LATERAL (VALUES ('tablespace', confl_tablespace), ('lock', confl_lock), ('snapshot', confl_snapshot),
                                 ('buffer pin', confl_bufferpin), ('deadlock', confl_deadlock){more})
              AS reasons (reason, cancelled)
     WHERE pg_is_in_recovery() GROUP BY reasons.reason
"""
CONFLICTS = query(
    "conflicts",
    {
        14: _CONFLICTS.format(more=""),
        16: _CONFLICTS.format(more=", ('logical slot', confl_active_logicalslot)"),
    },
    {"conflicts_total": ("counter", "Standby: queries cancelled for replay, by reason.")},
    ("reason",),
)

STANDBYS = query(
    "standbys",
    """
    SELECT application_name AS standby, max((state = 'streaming')::int) AS standby_streaming,
           max((sync_state IN ('sync', 'quorum'))::int) AS standby_synchronous
      FROM pg_stat_replication GROUP BY application_name ORDER BY application_name
    """,
    {
        "standby_streaming": ("gauge", "It streams from this member; 0 while it catches up or copies a base backup."),
        "standby_synchronous": ("gauge", "Commits wait for it (sync_state sync or quorum)."),
    },
    ("standby",),
)

STANDBY_LAG = query(
    "standby_lag",
    f"""
    SELECT r.application_name AS standby, stages.stage,
           max(pg_wal_lsn_diff(here.lsn, stages.lsn)) AS standby_lag_bytes,
           max(CASE WHEN stages.lsn >= here.lsn THEN 0 ELSE extract(epoch FROM stages.lag) END) AS standby_lag_seconds
      FROM pg_stat_replication AS r
      CROSS JOIN (SELECT {HERE} AS lsn) AS here
      CROSS JOIN LATERAL (VALUES ('sent', r.sent_lsn, NULL::interval), ('written', r.write_lsn, r.write_lag),
                                 ('flushed', r.flush_lsn, r.flush_lag), ('replayed', r.replay_lsn, r.replay_lag))
              AS stages (stage, lsn, lag)
     WHERE stages.lsn IS NOT NULL
     GROUP BY r.application_name, stages.stage ORDER BY r.application_name, stages.stage
    """,
    {
        "standby_lag_bytes": ("gauge", "WAL that this member has and the standby has not sent, written, ... yet."),
        "standby_lag_seconds": ("gauge", "How long the last WAL took to get there; 0 when it has everything."),
    },
    ("standby", "stage"),
)

_SLOTS = """
    SELECT slot_name AS slot, slot_type AS type, active::int AS slot_active, ({lost})::int AS slot_lost,
           CASE WHEN wal_status IS DISTINCT FROM 'lost' THEN pg_wal_lsn_diff(here.lsn, restart_lsn) END
             AS slot_retained_bytes,
           CASE WHEN wal_status IS DISTINCT FROM 'lost' THEN pg_wal_lsn_diff(here.lsn, confirmed_flush_lsn) END
             AS slot_unconfirmed_bytes,
           safe_wal_size AS slot_safe_bytes
      FROM pg_replication_slots CROSS JOIN (SELECT {here} AS lsn) AS here
     WHERE NOT temporary ORDER BY pg_wal_lsn_diff(here.lsn, restart_lsn) DESC NULLS LAST, slot_name
"""
SLOTS = query(
    "slots",
    {
        14: _SLOTS.format(here=HERE, lost="wal_status IS NOT DISTINCT FROM 'lost'"),
        17: _SLOTS.format(here=HERE, lost="wal_status IS NOT DISTINCT FROM 'lost' OR invalidation_reason IS NOT NULL"),
    },
    {
        "slot_active": ("gauge", "Somebody streams from the slot."),
        "slot_lost": ("gauge", "WAL or rows that its consumer needs are gone: it must be made anew."),
        "slot_retained_bytes": ("gauge", "WAL that is kept for it."),
        "slot_unconfirmed_bytes": ("gauge", "Logical: WAL whose changes its consumer has not confirmed."),
        "slot_safe_bytes": ("gauge", "WAL that may still be written before it is lost (max_slot_wal_keep_size)."),
    },
    ("slot", "type"),
)

ARCHIVER = query(
    "archiver",
    """
    SELECT archived_count AS archived_total, failed_count AS archive_failures_total,
           extract(epoch FROM last_archived_time) AS last_archived_timestamp_seconds,
           extract(epoch FROM last_failed_time) AS last_archive_failure_timestamp_seconds,
           (last_failed_time IS NOT NULL AND last_failed_time >= coalesce(last_archived_time, '-infinity'))::int
             AS archive_failing
      FROM pg_stat_archiver
    """,
    {
        "archived_total": ("counter", "WAL files archived."),
        "archive_failures_total": ("counter", "Attempts to archive that failed."),
        "last_archived_timestamp_seconds": ("gauge", "When the last WAL file was archived, as Unix time."),
        "last_archive_failure_timestamp_seconds": ("gauge", "When archiving failed last, as Unix time."),
        "archive_failing": ("gauge", "The newest attempt to archive failed."),
    },
)

ARCHIVE_QUEUE = query(
    "archive_queue",
    "SELECT count(*) AS archive_ready_files FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
    {"archive_ready_files": ("gauge", "WAL files that wait to be archived; looked up every half minute.")},
    every=30.0,
)

WAL = query(
    "wal",
    """
    SELECT wal_bytes AS wal_bytes_total, wal_records AS wal_records_total, wal_fpi AS wal_full_page_images_total,
           wal_buffers_full AS wal_buffers_full_total
      FROM pg_stat_wal
    """,
    {
        "wal_bytes_total": ("counter", "WAL written."),
        "wal_records_total": ("counter", "WAL records written."),
        "wal_full_page_images_total": ("counter", "Full page images in WAL."),
        "wal_buffers_full_total": ("counter", "WAL written because its buffers were full."),
    },
)

WAL_DIRECTORY = query(
    "wal_directory",
    "SELECT coalesce(sum(size), 0) AS wal_directory_bytes, count(*) AS wal_files FROM pg_ls_waldir()",
    {
        "wal_directory_bytes": ("gauge", "Size of pg_wal; looked up every half minute."),
        "wal_files": ("gauge", "Files in pg_wal."),
    },
    every=30.0,
)

CHECKPOINTS = query(
    "checkpoints",
    {
        14: """
    SELECT checkpoints_timed AS checkpoints_timed_total, checkpoints_req AS checkpoints_requested_total,
           checkpoint_write_time / 1000 AS checkpoint_write_seconds_total,
           checkpoint_sync_time / 1000 AS checkpoint_sync_seconds_total,
           buffers_checkpoint AS checkpoint_buffers_total FROM pg_stat_bgwriter
    """,
        17: """
    SELECT num_timed AS checkpoints_timed_total, num_requested AS checkpoints_requested_total,
           write_time / 1000 AS checkpoint_write_seconds_total, sync_time / 1000 AS checkpoint_sync_seconds_total,
           buffers_written AS checkpoint_buffers_total FROM pg_stat_checkpointer
    """,
    },
    {
        "checkpoints_timed_total": ("counter", "Checkpoints begun by checkpoint_timeout."),
        "checkpoints_requested_total": ("counter", "Checkpoints begun by max_wal_size or on request."),
        "checkpoint_write_seconds_total": ("counter", "Time spent writing at checkpoints."),
        "checkpoint_sync_seconds_total": ("counter", "Time spent in fsync at checkpoints."),
        "checkpoint_buffers_total": ("counter", "Buffers written at checkpoints."),
    },
)

LOCKS = query(
    "locks",
    """
    SELECT replace(modes.mode, 'Lock', '') AS mode, count(l.mode) AS locks
      FROM (VALUES ('AccessShareLock'), ('RowShareLock'), ('RowExclusiveLock'), ('ShareUpdateExclusiveLock'),
                   ('ShareLock'), ('ShareRowExclusiveLock'), ('ExclusiveLock'), ('AccessExclusiveLock'))
           AS modes (mode)
      LEFT JOIN pg_locks AS l ON l.mode = modes.mode AND l.pid IS DISTINCT FROM pg_backend_pid()
     GROUP BY modes.mode
    """,
    {"locks": ("gauge", "Locks held or waited for, by mode.")},
    ("mode",),
)

QUERIES: tuple[Query, ...] = (
    SERVER, CONNECTIONS, ACTIVITY, DATABASES, STANDBYS, STANDBY_LAG, SLOTS, ARCHIVER, WAL, CHECKPOINTS, LOCKS,
    CONFLICTS, ARCHIVE_QUEUE, WAL_DIRECTORY, SIZES,
)  # fmt: skip
"""Cheap ones first: where PostgreSQL gets slow, they are there."""
