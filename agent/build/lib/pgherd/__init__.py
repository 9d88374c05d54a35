"""pgherd: the agent that lives in every PostgreSQL pod, and its command line."""

__version__ = "0.1.0"
