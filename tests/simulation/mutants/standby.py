"""Mutants of standby clusters (S2, S3): tried on the stories of standing_by.py."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Mutant, Patch

STANDBY_MUTANTS = (
    Mutant(
        "standby: promoted without the cluster's latest timeline",
        ("S2",),
        (
            Patch(
                "decide/holder.py",
                "promote_cluster",
                "    why = compare.outdated(record, view.server.position, view.server.history)\n",
                "    why = None\n",
            ),
        ),
        standby=True,
        fault="turn",
    ),
    Mutant(
        "standby: the data are replaced before the lease says that the own line is left",
        ("S2", "S3"),
        (
            Patch(
                "decide/standby.py",
                "left_behind",
                "    if mark.writable == 0 and record.sync is None:\n",
                "    if mark.writable >= 0:\n",
            ),
        ),
        standby=True,
        fault="turn",
    ),
    Mutant(
        "standby: a timeline number is used again after the remote primary's smaller ones",
        ("S2",),
        (
            Patch(
                "decide/standby.py",
                "highest",
                "    return max(mark.highest, mark.timeline, mark.writable)\n",
                "    return 0\n",
            ),
        ),
        standby=True,
        fault="turn",
    ),
)
