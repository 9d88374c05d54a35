"""The demonstration behind `make demo`: a cluster, a writer, a broken primary, and a verdict from what was recorded."""
