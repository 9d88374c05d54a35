# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one seam to the Kubernetes API: requests with JSON, errors that say what was asked of whom.

Connection options, environment variables and their precedence are kubernetes.core's. The dynamic client is
not used: it asks for the API's discovery document first, which costs more than applying a whole cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

APPLY = "application/apply-patch+yaml"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
CONNECTIONS = 8


class ApiError(Exception):
    """The API answered, and the answer was no."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {message} (HTTP {status})")
        self.method, self.path, self.status, self.message = method, path, status, message


class Unreachable(Exception):
    """Nobody answered, or nobody who lets us in; the text names the host."""


class Api(Protocol):
    """What this collection needs of Kubernetes; tests put memory in its place."""

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = JSON
    ) -> dict[str, Any]: ...

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]: ...


class KubernetesApi:
    """Keep-alive connections to one API server; safe to use from several threads."""

    def __init__(self, configuration: Any, headers: Mapping[str, str]) -> None:
        from kubernetes.client import ApiClient

        configuration.connection_pool_maxsize = CONNECTIONS + 2
        self.host = str(configuration.host).rstrip("/")
        self._configuration, self._headers = configuration, dict(headers)
        self._pool = ApiClient(configuration).rest_client.pool_manager

    def _authorised(self, content: str) -> dict[str, str]:
        headers = {**self._headers, "Accept": JSON, "Content-Type": content, "User-Agent": "pgherd-play"}
        for setting in self._configuration.auth_settings().values():
            if setting and setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        if self._configuration.username and "authorization" not in {name.lower() for name in headers}:
            headers["Authorization"] = self._configuration.get_basic_auth_token()
        return headers

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = JSON
    ) -> dict[str, Any]:
        answer = self._send(method, path, body, query, content, READ_SECONDS, stream=False)
        found: dict[str, Any] = json.loads(answer.data)
        return found

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Events until the server ends the watch (`timeoutSeconds` in the query) or the connection breaks."""
        limit = float(query.get("timeoutSeconds", READ_SECONDS)) + READ_SECONDS
        answer = self._send("GET", path, None, {**query, "watch": "true"}, JSON, limit, stream=True)
        from urllib3.exceptions import HTTPError

        rest = b""
        try:
            for chunk in answer.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except HTTPError as error:
            raise Unreachable(f"the Kubernetes API at {self.host} broke a watch off: {error}") from None
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        content: str,
        seconds: float,
        stream: bool,
    ) -> Any:
        import urllib3
        from urllib3.exceptions import HTTPError

        url = self.host + path + ("?" + urlencode(query) if query else "")
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds)
        try:
            answer = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=self._authorised(content),
                timeout=timeout,
                retries=urllib3.Retry(connect=1, read=0, redirect=0, other=0),
                preload_content=not stream,
            )
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"the Kubernetes API at {self.host} cannot be reached: {reason}") from None
        if answer.status == 401:
            raise Unreachable(f"the Kubernetes API at {self.host} does not know this account: {_message(answer.data)}")
        if answer.status >= 300:
            raise ApiError(method, path, answer.status, _message(answer.data))
        return answer


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message") or data.decode())
    except (ValueError, AttributeError):
        return data.decode(errors="replace")[:500]


def no_configuration(auth: Mapping[str, Any], error: Exception) -> str:
    """Which file and context were tried; a kubeconfig given as a dictionary holds secrets and is not shown."""
    file, context = auth.get("kubeconfig") or "~/.kube/config", auth.get("context")
    tried = f"kubeconfig {file if isinstance(file, str) else '(a dictionary)'}" + (
        f", context {context}" if context else ""
    )
    reason = " ".join(str(error).split()).rstrip(".")
    return (
        f"No way to reach a Kubernetes API was found in {tried}: {reason}. Set postgres_kubeconfig or "
        "K8S_AUTH_KUBECONFIG to a kubeconfig file that exists, or K8S_AUTH_HOST and K8S_AUTH_API_KEY. "
        "Nothing was changed."
    )


def connect(module: Any) -> KubernetesApi:
    """An API from a module's options; ends the module with one clear sentence when there is none to be had."""
    from ansible.module_utils.basic import missing_required_lib

    try:
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core
        from kubernetes.client import Configuration
        from kubernetes.config import ConfigException
        from yaml import YAMLError
    except ImportError as error:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=str(error))
    auth = core._create_auth_spec(module)
    # A kubeconfig's `insecure-skip-tls-verify` becomes the process's default, and would be that of the next connection.
    Configuration.set_default(None)
    try:
        configuration = core._create_configuration(auth)
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        module.fail_json(msg=no_configuration(auth, error))
    headers = {
        str(name): ",".join(value) if isinstance(value, list) else str(value)
        for name, value in core._create_headers(module).items()
    }
    return KubernetesApi(configuration, headers)
