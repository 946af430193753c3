"""Stores, traces and privacy profiles, and what all outputs have in common."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from hepsw.config.configuration import StoreSettings
from hepsw.privacy import PrivacyProfile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hepsw.config import models
    from hepsw.config.environment import Environment
    from hepsw.config.loops import Machine
    from hepsw.config.problems import Report
    from hepsw.config.rules import RuleReader
    from hepsw.config.units import Url


def read_stores(
    stores: Mapping[str, models.Store], environment: Environment, report: Report
) -> dict[str, StoreSettings]:
    """Return the stores with their files made absolute; two of them never write to one file."""
    read: dict[str, StoreSettings] = {}
    for name, store in stores.items():
        path = ("stores", name)
        if not isinstance(store.url, str):
            environment.secret(store.url, (*path, "url"))
            read[name] = StoreSettings("postgres", FilePath(), store.batch)
            continue
        scheme, _, written = store.url.partition("://")
        if scheme.startswith("postgres"):
            if "@" in written and ":" in written.partition("@")[0]:
                report.warning(
                    "HEP405",
                    "a secret stands in the configuration",
                    (*path, "url"),
                    'write the url as { env = "X" } or { file = "…" }',
                )
            read[name] = StoreSettings("postgres", FilePath(), store.batch)
            continue
        try:
            file = (report.sources.folder(path) / written).resolve()
        except (OSError, RuntimeError) as error:
            report.error("HEP106", f"no file {written}: {error}", (*path, "url"))
            continue
        if file in {source.resolve() for source in report.sources.files}:
            report.error("HEP106", f"{written} is a file of this configuration", path)
        if any(other.file == file for other in read.values()):
            report.error("HEP102", f"two stores write to {written}", (*path, "url"))
        read[name] = StoreSettings(scheme, file, store.batch)
    return read


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
            # Of a destination, what cannot be a folder was reported when it was read.
            folder = environment.folder(output.spool.path, path, tell=block == "stores")
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
        if destination.privacy is not None:
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
    if machine is None:
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
