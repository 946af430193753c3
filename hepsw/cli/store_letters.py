"""`hepsw store deadletters`: packets that a store refused, to be read and to be tried again."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from hepsw.cli.progress import watched
from hepsw.fields import CATALOGUE
from hepsw.recall.shown import printable
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.writer import Batch
from hepsw.sinks.stores.writers import writer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.letters import Letter
    from hepsw.sinks.stores.writer import Refused
    from hepsw.view import View

MOST = 500
"""Letters that are tried at once: what is refused among so many is soon found."""


def listed(store: StoreSettings, *, as_json: bool) -> str:
    """Return the letters of a store, a line each, or an object with all of them.

    Raises:
        StoreError: their file cannot be read.
    """
    found = _read(store)
    if as_json:
        told = {"deadletters": [_object(letter) for letter in found]}
        return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n"
    return "".join(f"{_line(letter)}\n" for letter in found) or "no dead letters\n"


def retry(store: StoreSettings) -> bool:
    """Write letters to their store, and take those out of the file that it took; say how it went.

    A batch has the same key whenever it is tried, so that a database recognises one that was
    written when this command was killed.

    Returns:
        True where nothing was refused again.

    Raises:
        StoreError: the store cannot be written, or the file of letters cannot; what was taken until
        then is out of the file.
    """
    found = _read(store)
    if not found or store.letters is None:
        sys.stdout.write("no dead letters\n")
        return True
    taken = 0
    refused: list[tuple[Letter, Refused]] = []
    unclear: list[Letter] = []
    writer = writer_of(store)
    try:
        writer.open()
        waiting = watched(found, "letters tried", len(found))
        while batch := list(islice(waiting, min(store.batch.rows, MOST))):
            key = hashlib.sha256("\n".join(each.key for each in batch).encode()).digest()[:16]
            written = writer.write(Batch(key, [each.view for each in batch]), _nothing)
            again = {each.at: each for each in written.refused}
            if written.was_known and written.tables.total() < len(batch) - len(again):
                # Some of them are stored, and nobody knows any more which.
                unclear += batch
            else:
                refused += [(batch[at], why) for at, why in again.items()]
                accepted = [each for at, each in enumerate(batch) if at not in again]
                letters.remove(store.letters, [each.key for each in accepted])
                taken += len(accepted)
    finally:
        writer.close()
        _tell(taken, refused, unclear)
    return not refused and not unclear


def _nothing(_: Sequence[Refused]) -> None:
    """Leave what is refused again where it is: in the file."""


def _tell(taken: int, refused: Sequence[tuple[Letter, Refused]], unclear: Sequence[Letter]) -> None:
    lines = [f"{taken:,} stored"]
    reasons = Counter(why.reason for _, why in refused)
    lines += [f"{number:,} refused again: {reason}" for reason, number in reasons.items()]
    lines += [printable(f"  {letter.key} {why.table}: {why.why}") for letter, why in refused]
    if unclear:
        lines.append(f"{len(unclear):,} left: some are stored already, by a run that was killed")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _read(store: StoreSettings) -> list[Letter]:
    if store.letters is None:
        return []
    file = store.letters
    return letters.read(file, lambda number, what: _damaged(f"{file}:{number}: {what}"))


def _damaged(line: str) -> None:
    sys.stderr.write(f"hepsw store: {printable(line)}\n")


def _object(letter: Letter) -> dict[str, object]:
    return {
        "key": letter.key,
        "when": letter.when.isoformat(),
        "table": letter.table,
        "reason": letter.reason,
        "why": letter.why,
        "packet": _packet(letter.view),
        "frame": letter.view.packet.data.hex(),
    }


def _line(letter: Letter) -> str:
    when = letter.when.strftime("%Y-%m-%dT%H:%M:%SZ")
    packet = _packet(letter.view)
    return printable(f"{when}  {letter.table}  {letter.reason}  {letter.why}  [{packet}]")


def _packet(view: View) -> str:
    """Return what a packet is, in one line."""
    said = {
        name: CATALOGUE[name].render(value).decode("utf-8", "replace")
        for name in ("proto_type", "src_ip", "src_port", "dst_ip", "dst_port", "call")
        if (value := CATALOGUE[name].read(view)) is not None and not isinstance(value, tuple)
    }
    sip = view.sip
    words = [said.get("proto_type", "no type")]
    if sip is not None:
        method = (sip.method or b"?").decode("utf-8", "replace")
        words.append(method if sip.status is None else f"{sip.status} {method}")
    if "src_ip" in said or "dst_ip" in said:
        words.append(" → ".join(_end(said, side) for side in ("src", "dst")))
    if "call" in said:
        words.append(f"call {said['call']}")
    return f"{' '.join(words)}, {len(view.packet.data):,} octets"


def _end(said: dict[str, str], side: str) -> str:
    address = said.get(f"{side}_ip", "?")
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{said[f'{side}_port']}" if f"{side}_port" in said else shown
