"""May a run folder be gone on with under this plan? What `--resume` compares."""

from __future__ import annotations

from collections.abc import Mapping

from vidrobust.bench.manifest import fingerprints
from vidrobust.bench.plan import Plan, config_digest, idle_keys
from vidrobust.bench.resolve import resolve
from vidrobust.bench.schema import RunManifest
from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin.manager import PluginHost

_ADVICE = "give the old config, or another --out"


def require_same_config(manifest: RunManifest, plan: Plan, host: PluginHost, where: object) -> None:
    """Refuse to go on with a run that was made with another config.

    A key that the recorded config does not have, because its component did not have it yet, counts
    as its default: the recorded config is resolved again before it is compared.

    Args:
        manifest: Of the run to resume.
        plan: What is asked for now.
        host: Finds the components that the recorded config names.
        where: The run folder, for the message.

    Raises:
        ConfigError: Names the first key that differs, or the first whose file has changed since.
    """
    before = manifest.get("files", {})
    for key, digest in fingerprints(plan).items():
        if before.get(key, digest) != digest:
            raise ConfigError(
                f"{where} was made with another file: that of {key} has changed since",
                hint="give the old file, or another --out",
            )
    wanted = config_digest(plan)
    if manifest["config_sha256"] == wanted:
        return
    try:
        earlier = resolve(manifest["config"], host)
    except VidrobustError:  # names what this installation does not have: another config for sure
        earlier = None
    if earlier is None or config_digest(earlier) != wanted:
        raise ConfigError(f"{where} was made with another config", hint=_difference(manifest, plan))


def _difference(manifest: RunManifest, plan: Plan) -> str:
    """The first key in which two configs differ, as a hint."""
    old, new, idle = manifest["config"], plan.config, idle_keys(plan)
    for table in sorted(set(old) | set(new)):
        before, after = old.get(table, {}), new.get(table, {})
        if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
            if before == after:
                continue
            return f"{table} was {before!r} and is now {after!r}; {_ADVICE}"
        for key in sorted(set(before) | set(after), key=lambda key: (key != "use", key)):
            if before.get(key) != after.get(key) and key not in idle.get(table, ()):
                return (
                    f"{table}.{key} was {before.get(key)!r} and is now {after.get(key)!r}; "
                    f"{_ADVICE}"
                )
    return "the versions of its parts differ; choose another --out"
