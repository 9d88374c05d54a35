"""Real members as processes against a real API server: fence, agent and PostgreSQL, each in namespaces of its own."""
