"""A pooler's pod: PgBouncer under a PID 1 that reloads it, and that holds its clients back while the primary changes.

Lives as long as the pod. It knows nothing of the lease: it sees the primary only where its clients do, through the
Service, so what ends a pause is exactly what clients need, whoever started it and whatever became of him.
"""
