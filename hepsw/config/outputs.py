"""Destinations, stores, traces and privacy profiles: what they name, and what they need."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from hepsw.config.configuration import StoreSettings

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


def check_destinations(
    destinations: Mapping[str, models.Destination],
    privacy: Collection[str],
    reader: RuleReader,
    environment: Environment,
    report: Report,
) -> None:
    """Judge what the settings of destinations name and need."""
    for name, destination in destinations.items():
        path = ("destinations", name)
        if destination.privacy is not None and destination.privacy not in privacy:
            report.unknown(
                "HEP212", "privacy profile", destination.privacy, (*path, "privacy"), privacy
            )
        if destination.oversize != "drop":
            reader.used.add(destination.oversize)
            place = (*path, "oversize")
            if destination.oversize not in destinations:
                report.unknown("HEP201", "destination", destination.oversize, place, destinations)
            elif destination.oversize == name:
                report.error("HEP106", "what is too big for it is too big for itself", place)
        reader.edits(destination.set, destination.unset, path)
        if destination.policy == "hash":
            reader.field(destination.key, (*path, "key"))
        schemes = {url.scheme for url in destination.urls}
        if "sip" in schemes and len(schemes) > 1:
            report.error("HEP106", "`sip://` does not mix with HEP in one destination", path)
        if destination.tls is not None and "tls" not in schemes:
            report.error("HEP106", "`tls` without a `tls://` url", (*path, "tls"))
        if destination.bind is not None:
            _check_address(destination.bind, (*path, "bind"), report)
        environment.secret(destination.auth_key, (*path, "auth_key"))
        if destination.tls is not None:
            environment.file(destination.tls.ca, (*path, "tls", "ca"))
            environment.file(destination.tls.cert, (*path, "tls", "cert"))
            environment.file(destination.tls.key, (*path, "tls", "key"), is_key=True)
            if (destination.tls.cert is None) is not (destination.tls.key is None):
                report.error("HEP107", "`cert` and `key` come together", (*path, "tls"))


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


def _check_address(written: str, path: tuple[str | int, ...], report: Report) -> None:
    try:
        ip_address(written)
    except ValueError:
        report.error("HEP106", f"not an address: {written!r}", path)


def check_privacy(profiles: Mapping[str, models.Privacy], environment: Environment) -> None:
    """Judge the secrets of privacy profiles."""
    for name, profile in profiles.items():
        environment.secret(profile.key, ("privacy", name, "key"))
