"""What a person reads while the demonstration runs: numbered steps, elapsed seconds, commands to run again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

BEGAN = time.monotonic()


class Failed(Exception):
    """The demonstration cannot go on; the text says what, and what to do."""


def step(text: str) -> None:
    print(f"\n[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


def say(text: str) -> None:
    print(f"           {text}", flush=True)


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None, limit: float = 1800) -> None:
    """Run a command whose output a person should see. Raises Failed."""
    code = subprocess.run(command, env=environment, timeout=limit, check=False).returncode
    if code:
        raise Failed(f"{' '.join(command)} ended with {code}")


def output(command: Sequence[str], *, limit: float = 60, stdin: str | None = None) -> str:
    """Standard output of a command. Raises Failed with its standard error."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} gave no answer in {limit:g} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def document(command: Sequence[str], *, limit: float = 60) -> Any:
    return json.loads(output(command, limit=limit))


def wait(what: str, check: Callable[[], T | None], limit: float) -> T:
    """Ask again until `check` gives something; progress every few seconds. Raises Failed at the limit."""
    began, told, problem = time.monotonic(), time.monotonic(), ""
    while time.monotonic() - began < limit:
        try:
            found = check()
        except Failed as error:
            found, problem = None, str(error)
        if found is not None:
            return found
        if time.monotonic() - told > 5:
            told = time.monotonic()
            say(f"waiting for {what} ({told - began:.0f} s of at most {limit:.0f})")
        time.sleep(0.3)
    raise Failed(f"{what}: not within {limit:.0f} s{'; last: ' + problem if problem else ''}")


def fail(text: str) -> int:
    print(f"\ndemo failed: {text}", file=sys.stderr, flush=True)
    return 1
