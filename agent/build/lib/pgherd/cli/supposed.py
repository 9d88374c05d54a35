"""From an observation to what would happen without a member (decide.what_if). Pure."""

from __future__ import annotations

from pgherd.cli.observe import Observation
from pgherd.decide.what_if import Cluster, Consequence, what_if
from pgherd.model.settings import InvalidSetting, read_configuration


def consequence(seen: Observation, gone: str) -> Consequence | str:
    """Or a sentence that says why there is none."""
    names = sorted({*seen.target.members, *(found.pod.member for found in seen.pods)})
    if gone not in names:
        return f"{gone!r} is no member: must be one of {', '.join(names)}"
    if seen.lock.record is None:
        return seen.lock.trouble or "the lock object cannot be read"
    if not seen.answers:
        return "the agents were not asked (no certificates): what they would do rests on what they say"
    try:
        configuration = read_configuration(seen.config.config)
    except InvalidSetting as error:
        return str(error)
    words = {name: status for name, status in seen.answers.items() if status is not None}
    pods = tuple(found.pod for found in seen.pods)
    return what_if(Cluster(seen.lock.record, configuration, seen.config.initialize, pods, words), gone)


def text(found: Consequence) -> str:
    lines = [f"If {found.gone} disappears now: {found.text}."]
    if found.leader is not None and found.timeline is not None:
        lines.append(
            f"WAL at risk: {found.at_risk} bytes of what the lease names; what was never published comes on top."
        )
    lines += [f"  {each.member}: {each.why}" for each in found.others]
    return "\n".join(lines)
