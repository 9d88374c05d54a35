"""The HTTP API of one member: health for probes and load balancers, its own words for its peers, metrics.

Patroni's paths and status codes, so that HAProxy checks, exporters and habits carry over; `/member` is ours.
Always TLS; reads need no certificate, everything else one that the cluster's authority signed. Imports model only.
"""
