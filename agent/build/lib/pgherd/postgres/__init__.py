"""One PostgreSQL server: everything that touches its files, its process (through the fence) and its SQL.

server.py       PostgresServer, the executor that runtime uses; delegates to the rest
link.py         FenceLink, the connection to PID 1
layout.py       where things are; source.py  whom to follow
observe.py      the cheap observation; control.py  pg_controldata; walend.py  end of a stopped server's WAL
render.py       configuration text; configure.py  writing it; keys.py  client certificates
histories.py    timeline history files; promote.py  promotion onto a chosen timeline
initialise.py, clone.py, rewind.py, divergent.py, incarnation.py   making and replacing data directories
slots.py, roles.py, probe.py   upkeep of a primary, proof of health
run.py, sessions.py   subprocesses and connections with limits; errors.py
"""
