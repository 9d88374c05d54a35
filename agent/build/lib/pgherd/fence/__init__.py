"""PID 1 of the container: reaps, keeps the agent running, starts PostgreSQL, kills it at the deadline (S1, S4).

Standard library and model/mapping.py only, one thread, one loop; nothing here knows leases or Kubernetes.

    processes.py   what lives in this pid namespace, and ending it
    volume.py      the exclusive lock on the volume, stale lock files
    agent.py       the one agent process: start, heartbeat, restart
    requests.py    what the agent may ask for
    loop.py        the loop that owns all of them
    privileges.py  memory lock and priority, both best effort
    log.py         JSON lines to stderr that can never block the loop
"""
