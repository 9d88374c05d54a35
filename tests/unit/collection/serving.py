"""The API in memory behind HTTP, for programs that reach it as they reach a real one: by host and token."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError

from .conftest import COLLECTIONS, ROOT
from .memory import Memory

TOKEN = "token-of-a-test"


@contextmanager
def served(api: Memory) -> Iterator[dict[str, str]]:
    """Environment variables by which a program of Ansible finds the collection and this API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            url = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            query, content = dict(parse_qsl(url.query)), self.headers.get("Content-Type", "")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, found = 401, {"message": "Unauthorized"}
            elif query.get("watch"):
                status, found = 410, {"message": "no watches here"}
            else:
                try:
                    status, found = 200, api.request(self.command, url.path, body, query, content)
                except ApiError as error:
                    status, found = error.status, {"message": error.message}
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = do_POST = do_DELETE = _answer

        def log_message(self, *arguments: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield environment(f"http://127.0.0.1:{listening.server_port}")
    finally:
        listening.shutdown()
        listening.server_close()


def environment(host: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("K8S_AUTH_")}
    return {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(ROOT / ".build" / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "K8S_AUTH_HOST": host,
        "K8S_AUTH_API_KEY": TOKEN,
    }
