"""The shipped agent in virtual time, under seeded faults, with the safety invariants checked after every event.

Shipped and unchanged: everything of runtime/ (agent, lock, writer, state, tasks, peers, observer), decide/, model/
and kubernetes/follow. Modelled: PostgreSQL, the fence, the API store, the kubelet, network and clocks.

    loop.py        an event loop per agent process that only the world steps: a frozen process is one that is not
    world.py       virtual time, chance, the network, the trace
    api.py         the API store: compare-and-swap, watches, lost requests and replies, outages
    database.py    data directories: branches of WAL by identity, not by number
    postgres.py    one server (runtime.ports.Postgres)
    fence.py       PID 1 (runtime.ports.Fence): deadline, killing, agents that hang
    member.py      pod, container, agent process, kubelet
    faults.py      what happens to them
    interruptions.py  the same, at the worst moment of a synchronous set
    invariants.py  S1, S2, S4 to S8
    run.py         one seed from start to verdict

`python -m tests.simulation --seed 7 --trace` replays one; `python -m tests.simulation.mutants` tries the mutants.
"""
