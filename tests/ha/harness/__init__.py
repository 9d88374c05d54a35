"""Members as a kubelet would run them, without a kubelet.

python.py   the interpreter that members run
wait.py     conditions with a deadline
net.py      a bridge, one network namespace per member, sockets opened inside them
forward.py  each member's way to the API server, which can be cut
pki.py      certificates as the play would make them
objects.py  the cluster's objects as the play would make them; Pod objects as a kubelet would keep them
member.py   one member: its namespaces, its PID 1, and what can be done to it
cluster.py  three members and one API
clients.py  sessions from outside the agents: what a user would notice
"""
