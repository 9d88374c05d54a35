"""One Kubernetes API: the lock object, the configuration object, pods and secrets.

`store` is the seam (protocols, values, errors); `endpoints` and `pods` speak to a real API server
through lightkube, `memory` stands in for it in tests. Imports model only.
"""
