"""The few calls that the lab itself makes to the API: over the forwarder, with the administrator's certificate."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from pgherd_lab.errors import LabError


class Refused(LabError):
    """The API answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """One API server; a connection per request, because it may have been restarted since the last one."""

    def __init__(self, port: int, pki: Path) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self.context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The decoded answer. Raises LabError if nobody answers within 10 s, Refused for an HTTP error."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the lab's API does not answer: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, f"the API refused {method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text.startswith(("{", "[")) else text

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def apply(self, path: str, document: dict[str, Any]) -> None:
        """Server-side apply of one object at its own path."""
        self.request("PATCH", f"{path}?fieldManager=pgherd-lab&force=true", document, "application/apply-patch+yaml")

    def ready(self) -> bool:
        try:
            return bool(self.get("/readyz") == "ok")
        except LabError:
            return False
