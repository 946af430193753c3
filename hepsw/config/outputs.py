"""Traces and privacy profiles, and what all outputs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.privacy import PrivacyProfile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path as FilePath

    from hepsw.config import models
    from hepsw.config.environment import Environment
    from hepsw.config.loops import Machine
    from hepsw.config.problems import Report
    from hepsw.config.rules import RuleReader
    from hepsw.config.units import Url


def check_traces(
    traces: Mapping[str, models.Trace], outputs: Collection[str], reader: RuleReader, report: Report
) -> None:
    """Report traces to what is neither a destination nor a store."""
    for name, trace in traces.items():
        for at, output in enumerate(trace.to):
            if output not in outputs:
                place = ("traces", name, "to", at)
                report.unknown("HEP201", "destination or store", output, place, outputs)
        reader.used.update(trace.to)


def check_spools(
    destinations: Mapping[str, models.Destination],
    stores: Mapping[str, models.Store],
    environment: Environment,
    report: Report,
) -> None:
    """Report spools of two owners: each takes the segments of the other for its own."""
    owners: dict[FilePath, str] = {}
    for block, outputs in (("destinations", destinations), ("stores", stores)):
        for name, output in outputs.items():
            if output.spool is None:
                continue
            path = (block, name, "spool", "path")
            # What cannot be a folder was reported when the output was read.
            folder = environment.folder(output.spool.path, path, tell=False)
            if folder is None:
                continue
            if folder in owners:
                report.error("HEP102", f"`{owners[folder]}` spools to that folder already", path)
            owners.setdefault(folder, name)


def check_exposure(
    destinations: Mapping[str, models.Destination], machine: Machine | None, report: Report
) -> None:
    """Warn of what leaves in clear text for a public address."""
    for name, destination in destinations.items():
        if destination.privacy is not None or report.is_unread(("destinations", name, "privacy")):
            continue
        for at, url in enumerate(destination.urls):
            if url.scheme != "tls" and _is_public(url, machine):
                report.warning(
                    "HEP402",
                    f"what leaves through `{name}` crosses the internet in clear text",
                    ("destinations", name, "url", at),
                    "use tls://, or give it a `privacy` profile",
                )


def _is_public(url: Url, machine: Machine | None) -> bool:
    if url.address is not None:
        return url.address.is_global
    if machine is None or not url.host:  # without a host it could not be read
        return False
    return any(address.is_global for address in machine.addresses(url.host))


def read_profiles(
    profiles: Mapping[str, models.Privacy], environment: Environment
) -> dict[str, PrivacyProfile]:
    """Return the privacy profiles with their secrets read."""
    return {
        name: PrivacyProfile(
            users=profile.users,
            v4=profile.ips.v4,
            v6=profile.ips.v6,
            drop_headers=frozenset(map(str.lower, profile.headers.drop if profile.headers else ())),
            sdp=profile.sdp,
            key=environment.secret(profile.key, ("privacy", name, "key")),
            other=profile.other,
        )
        for name, profile in profiles.items()
    }
