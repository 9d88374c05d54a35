"""In the writer's pod: how many acknowledged rows the table lacks, and the longest time without one.

Prints JSON. Runs beside the demonstration's writer.py, whose file it reads.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import psycopg
from writer import OPTIONS


def main(run: str, path: str) -> None:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines() if line.endswith("}")]
    acknowledged = [line for line in lines if "acknowledged" in line]
    with psycopg.connect(os.environ["URI"], **OPTIONS) as connection:
        there = {row for (row,) in connection.execute("SELECT id FROM writes WHERE run = %s", (run,))}
    times = sorted(line["acknowledged"] for line in acknowledged)
    gaps = sorted((after - before for before, after in pairwise(times)), reverse=True)
    print(json.dumps({
        "acknowledged": len(acknowledged),
        "lost": len([line for line in acknowledged if line["id"] not in there]),
        "longest_gaps": [round(each, 2) for each in gaps[:4]],
        "timelines": sorted({line["timeline"] for line in acknowledged}),
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
