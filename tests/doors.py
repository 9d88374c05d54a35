"""Run the doors of the test suite in order and say at the end what each one found.

`python -m tests.doors lint unit ...` stops at the first door that fails, then prints one summary and
pytest's closing line last, so that a person and continuous integration read the same thing.
Nothing is skipped silently: a skipped test of the ha or cluster door counts as a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests import lab

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".build" / "reports"


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.problems += other.problems


def run(title: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Result:
    """One command is one check."""
    print(f"\n--- {title}: {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False)
    return Result(passed=1) if done.returncode == 0 else Result(failed=1, problems=[f"{title}: exit {done.returncode}"])


def pytest(name: str, *arguments: str, python: str = sys.executable, strict: bool = False) -> Result:
    """One pytest run; its counts come from its own report."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    print(f"\n--- {name}: {' '.join(command)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not report.exists():
        return Result(failed=1, problems=[f"{name}: pytest ended with {code} and no report"])
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    number = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    result = Result(number["tests"] - failed - number["skipped"], failed, number["skipped"])
    if code != 0 and failed == 0:
        result.failed, result.problems = 1, [f"{name}: pytest ended with {code}"]
    if strict and number["skipped"]:
        result.failed += number["skipped"]
        result.problems.append(f"{name}: {number['skipped']} skipped, which is not a pass")
    return result


def newest_python() -> str | None:
    """An interpreter newer than this one, for the doors that run on both ends of the supported range."""
    for minor in range(15, sys.version_info.minor, -1):
        known = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        for candidate in [f"python3.{minor}", *map(str, known)]:
            try:
                found = subprocess.run(
                    [candidate, "-c", "import ensurepip, sys; print(sys.executable)"], capture_output=True, text=True
                )
            except OSError:
                continue
            if found.returncode == 0:
                return found.stdout.strip()
    return None


def newest_environment() -> str | None:
    """The path of a prepared newer interpreter; None when the machine has none."""
    python = newest_python()
    if python is None:
        return None
    venv = ROOT / ".build" / "venv-newest"
    made = subprocess.run([str(ROOT / "tools/venv.sh"), python, str(venv)], cwd=ROOT, check=False)
    return str(venv / "bin/python") if made.returncode == 0 else None


ALL_CORES = "--numprocesses=auto"


def lint() -> Result:
    result = Result()
    checks: list[tuple[str, list[str]]] = [
        ("ruff check", ["ruff", "check", "."]),
        ("ruff format", ["ruff", "format", "--check", "."]),
        ("mypy agent and lab", ["mypy", "--strict", "agent/src", "lab/src"]),
        ("layers", ["lint-imports"]),
        ("ansible-lint", ["ansible-lint", "--offline", "--profile", "production", "-q"]),
        ("changelog fragments", ["antsibull-changelog", "lint"]),
        ("ansible-test sanity", ["tools/ansible-test.sh", "sanity"]),
        ("ansible-test units", ["tools/ansible-test.sh", "units"]),
        ("galaxy-importer, antsibull-docs, ansible-builder", ["tools/collection.sh"]),
    ]
    for title, command in checks:
        result.add(run(title, command, {"PATH": without_shims(os.environ["PATH"])}))
    return result


def without_shims(path: str) -> str:
    """pyenv's shims answer for interpreters that are not there, which confuses ansible-test."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if "pyenv/shims" not in folder)


def unit() -> Result:
    result = pytest("unit", "tests/unit", ALL_CORES)
    newer = newest_environment()
    if newer is None:
        print("no newer Python on this machine: unit and simulation ran on this one only")
    elif not result.failed:
        result.add(pytest("unit-newest", "tests/unit", ALL_CORES, python=newer))
    return result


def rules() -> Result:
    return pytest("rules", "tests/rules", strict=True)


def simulation() -> Result:
    result = pytest("simulation", "tests/simulation", ALL_CORES)
    newer = newest_environment()
    if newer is not None and not result.failed:
        result.add(pytest("simulation-newest", "tests/simulation", "--seeds=60", ALL_CORES, python=newer))
    return result


def mutants() -> Result:
    return run("mutants", [sys.executable, "-m", "tests.simulation.mutants"])


def simulation_long() -> Result:
    return pytest("simulation-long", "tests/simulation", "--seeds=5000")


def ha() -> Result:
    return pytest("ha", "tests/ha", "-m", "not long", strict=True)


def ha_long() -> Result:
    return pytest("ha-long", "tests/ha", "-m", "long", strict=True)


def cluster() -> Result:
    return pytest("cluster", "tests/cluster", "-m", "not long", strict=True)


def cluster_long() -> Result:
    return pytest("cluster-long", "tests/cluster", "-m", "long", strict=True)


def molecule() -> Result:
    return run("molecule", [sys.executable, "-m", "tests.cluster.molecule"])


DOORS: Mapping[str, Callable[[], Result]] = {
    "lint": lint,
    "unit": unit,
    "rules": rules,
    "simulation": simulation,
    "simulation-long": simulation_long,
    "mutants": mutants,
    "ha": ha,
    "ha-long": ha_long,
    "cluster": cluster,
    "cluster-long": cluster_long,
    "molecule": molecule,
}


NEED_PROGRAMS = frozenset({"ha", "ha-long", "cluster", "cluster-long", "molecule"})
"""They take upstream's Kubernetes, or parts of it."""


def open_doors(names: Sequence[str]) -> dict[str, Result]:
    """Run each until one fails; the lab that cluster and molecule share lives just as long as both."""
    results: dict[str, Result] = {}
    build = lab.Build(REPORTS / "lab-build.log") if NEED_PROGRAMS & {*names} else None
    try:
        for name in names:
            if build is not None and name in NEED_PROGRAMS:
                build.wait()
            if name in ("cluster", "cluster-long", "molecule") and not lab.borrowed():
                os.environ.update(lab.start())
            started = time.monotonic()
            results[name] = DOORS[name]()
            results[name].seconds = time.monotonic() - started
            if results[name].failed:
                break
    finally:
        if build is not None:
            build.stop()
        lab.stop()
    return results


def closing_line(total: Result, seconds: float) -> str:
    """In the form of pytest's own last line."""
    parts = [f"{total.failed} failed"] if total.failed else []
    parts += [f"{total.passed} passed"] + ([f"{total.skipped} skipped"] if total.skipped else [])
    text = f" {', '.join(parts)} in {seconds:.2f}s "
    return text.center(80, "=")


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in DOORS]
    if unknown or not names:
        print(f"unknown door {', '.join(unknown) or '(none named)'}; there are: {', '.join(DOORS)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    results = open_doors(names)
    print("\ndoor             passed failed skipped   seconds")
    total = Result()
    for name in names:
        if name in results:
            found = results[name]
            total.add(found)
            print(f"{name:<16} {found.passed:>6} {found.failed:>6} {found.skipped:>7} {found.seconds:>9.1f}")
        else:
            print(f"{name:<16} not run: a door before it failed")
    for problem in total.problems:
        print(f"  {problem}")
    print(closing_line(total, time.monotonic() - began))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
