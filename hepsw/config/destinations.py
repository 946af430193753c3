"""Destinations: what their settings name and need, and what they mean."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from hepsw.config.certificates import check_shown
from hepsw.config.configuration import DestinationSettings, TlsSettings
from hepsw.config.files import fingerprint
from hepsw.config.meaning import meaning
from hepsw.config.template import Template
from hepsw.fields import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hepsw.config import models
    from hepsw.config.configuration import Edit
    from hepsw.config.environment import Environment
    from hepsw.config.loops import Machine
    from hepsw.config.problems import Report
    from hepsw.config.rules import RuleReader
    from hepsw.config.spans import Path
    from hepsw.fields import Field
    from hepsw.privacy import PrivacyProfile


class DestinationReader:
    """Reads the destinations of one configuration; what is wrong is reported, and left out."""

    def __init__(
        self,
        reader: RuleReader,
        environment: Environment,
        machine: Machine | None,
        *,
        profiles: Mapping[str, PrivacyProfile],
        privacy: Collection[str],
    ) -> None:
        """Begin.

        Args:
            reader: knows the fields, and takes note of what is used.
            environment: reads secrets and files.
            machine: knows the addresses of names; None offline.
            profiles: of privacy, those that could be read.
            privacy: the names of all of them.
        """
        self._reader = reader
        self._report: Report = reader.report
        self._environment = environment
        self._machine = machine
        self._profiles = profiles
        self._privacy = privacy

    def read(
        self, destinations: Mapping[str, models.Destination]
    ) -> dict[str, DestinationSettings]:
        """Return what the destinations mean."""
        read = {name: self._one(name, written) for name, written in destinations.items()}
        for name, written in destinations.items():
            self._oversize(name, written, destinations)
        _check_circles(destinations, self._report)
        _check_profiles(destinations, self._report)
        return read

    def _one(self, name: str, written: models.Destination) -> DestinationSettings:
        path: Path = ("destinations", name)
        schemes = {url.scheme for url in written.urls}
        if "sip" in schemes and len(schemes) > 1:
            self._report.error("HEP106", "`sip://` does not mix with HEP in one destination", path)
        self._contradictions(written, schemes, path)
        for at, url in enumerate(written.urls):
            if url.host and url in written.urls[:at]:
                self._report.error("HEP102", f"{url} is given twice", (*path, "url", at))
        if written.privacy is not None and written.privacy not in self._privacy:
            self._report.unknown(
                "HEP212", "privacy profile", written.privacy, (*path, "privacy"), self._privacy
            )
        if written.bind is not None:
            self._bind(written.bind, written, (*path, "bind"))
        spool = written.spool
        if spool is not None:
            place = (*path, "spool", "path")
            folder = self._environment.folder(spool.path, place)
            if folder is not None:
                self._environment.can_write(folder, place)
                spool = spool.model_copy(update={"path": str(folder)})
        key = self._reader.field(written.key, (*path, "key")) or CATALOGUE["call"]
        edits = self._reader.edits(written.set, written.unset, path)
        return DestinationSettings(
            name=name,
            urls=tuple(written.urls),
            policy=written.policy,
            key=key,
            hep=written.hep,
            tls=self._tls(written.tls, schemes, path),
            bind=written.bind,
            compress=written.compress,
            privacy=self._profiles.get(written.privacy or ""),
            edits=edits,
            meaning=self._meaning(written, key, edits),
            auth_key=self._environment.secret(written.auth_key, (*path, "auth_key")),
            queue=written.queue,
            spool=spool,
            overflow=written.overflow,
            oversize=written.oversize,
            timeout=written.timeout,
        )

    def _contradictions(self, written: models.Destination, schemes: set[str], path: Path) -> None:
        """Report keys that could never do what they say."""
        if "sip" in schemes:
            for key, is_written in (
                ("hep", written.hep != "keep"),
                ("auth_key", written.auth_key is not None),
                ("compress", written.compress == "payload"),
            ):
                if is_written:
                    self._report.error(
                        "HEP106",
                        f"`sip://` carries the payload alone, and no `{key}`",
                        (*path, key),
                    )
        if written.hep in {1, 2}:
            if schemes & {"tcp", "tls"}:
                self._report.error(
                    "HEP106",
                    f"HEP {written.hep} states no length, so no stream can carry it",
                    (*path, "hep"),
                    "send it to udp://",
                )
            if written.auth_key is not None:
                self._report.error(
                    "HEP106", f"HEP {written.hep} has no place for a key", (*path, "auth_key")
                )

    def _meaning(self, written: models.Destination, key: Field, edits: Sequence[Edit]) -> str:
        """Return what the key and the edits are made of: two texts alike mean the same."""
        fields = [key]
        for edit in edits:
            fields.append(edit.field)
            if isinstance(edit.value, Template):
                fields += edit.value.fields
        return meaning([written.key, written.set, written.unset], fields, self._report.sources)

    def _tls(
        self, written: models.DestinationTls | None, schemes: set[str], path: Path
    ) -> TlsSettings | None:
        if written is None:
            return None
        place = (*path, "tls")
        if schemes and "tls" not in schemes and "" not in schemes:
            self._report.error("HEP106", "`tls` without a `tls://` url", place)
        lacks_one = (written.cert is None) is not (written.key is None)
        if lacks_one and not self._report.is_unread(place):
            self._report.error("HEP107", "`cert` and `key` come together", place)
        ca = self._environment.file(written.ca, (*place, "ca"))
        cert = self._environment.file(written.cert, (*place, "cert"))
        key = self._environment.file(written.key, (*place, "key"), is_key=True)
        tls = TlsSettings(ca, cert, key, written.name, self._environment.digest(ca, cert, key))
        # What cannot be read is reported already, and offline nothing is looked at.
        if not self._environment.offline and all(
            file is None or fingerprint(file) for file in (ca, cert, key)
        ):
            check_shown(tls, place, self._report)
        return tls

    def _bind(self, written: str, destination: models.Destination, path: Path) -> None:
        try:
            address = ip_address(written)
        except ValueError:
            self._report.error("HEP106", f"not an address: {written!r}", path)
            return
        if address.is_multicast:
            self._report.error("HEP106", f"nothing is sent from {written}", path)
            return
        families: set[int] = set()
        for url in destination.urls:
            if url.address is not None:
                families.add(url.address.version)
                continue
            if not url.host:
                return  # it could not be read
            found = self._machine.addresses(url.host) if self._machine is not None else ()
            if not found:
                return  # a name may come to have either
            families |= {each.version for each in found}
        if address.version not in families:
            self._report.error(
                "HEP106",
                f"from an IPv{address.version} address none of the urls can be reached",
                path,
            )

    def _oversize(
        self, name: str, written: models.Destination, destinations: Mapping[str, models.Destination]
    ) -> None:
        target = written.oversize
        if target == "drop":
            return
        self._reader.used.add(target)
        place = ("destinations", name, "oversize")
        # One that could not be read is known by name all the same.
        known = {*destinations, *self._reader.destinations}
        if target not in known:
            self._report.unknown("HEP201", "destination", target, place, known)
        elif target == name:
            self._report.error("HEP106", "what is too big for it is too big for itself", place)


def _check_circles(destinations: Mapping[str, models.Destination], report: Report) -> None:
    """Report chains of `oversize` that come back: a packet too big for all would never end."""
    told: set[str] = set()
    for name in destinations:
        chain = [name]
        while (target := destinations[chain[-1]].oversize) in destinations and target not in chain:
            chain.append(target)
        if target == name and len(chain) > 1 and name not in told:
            told.update(chain)
            report.error(
                "HEP106",
                f"`oversize` leads round in a circle: {' → '.join((*chain, name))}",
                ("destinations", name, "oversize"),
            )


def _check_profiles(destinations: Mapping[str, models.Destination], report: Report) -> None:
    """Report an `oversize` that leads past a privacy profile: who makes a packet large decides."""
    for name, destination in destinations.items():
        target = destinations.get(destination.oversize)
        if report.is_unread(("destinations", destination.oversize, "privacy")):
            continue
        if destination.privacy and target is not None and target.privacy != destination.privacy:
            report.error(
                "HEP106",
                f"what is too big would leave without the privacy profile `{destination.privacy}`",
                ("destinations", name, "oversize"),
                f"give `{destination.oversize}` the same profile, or drop what is too big",
            )
