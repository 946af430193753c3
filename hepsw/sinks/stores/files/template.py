"""The names of a store's files: made from the time of a packet, and recognised afterwards.

The writer asks where a packet goes; retention asks which files are the store's own. Both read the
same template, so nothing is written that retention does not know, and nothing else is removed.

Only numbers come from a packet, each of a fixed width, and times too far from the arrival are not
believed: whoever sends packets can neither leave the folder nor make thousands of files in it.
Nothing here opens a file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.fields import EPOCH

if TYPE_CHECKING:
    from datetime import datetime

    from hepsw.view import View

Name = tuple[str, ...]
"""Folders beneath the fixed one, and the file itself."""

BELIEVED_US: Final = 86_400_000_000
"""A capture time further than a day from the arrival is not where a packet is filed."""

_CODES: Final = {
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "m": r"0[1-9]|1[0-2]",
    "d": r"0[1-9]|[12][0-9]|3[01]",
    "j": r"[0-2][0-9]{2}|3[0-5][0-9]|36[0-6]",
    "H": r"[01][0-9]|2[0-3]",
    "M": r"[0-5][0-9]",
    "S": r"[0-5][0-9]",
    "U": r"[0-4][0-9]|5[0-3]",
    "W": r"[0-4][0-9]|5[0-3]",
}
"""Parts of the time, and what each can be."""
_STEPS: Final = {"S": 1, "M": 60, "H": 3600}
"""Seconds after which a part of the time is another; for the others it is a day."""
_SUFFIXES: Final = (".pcap.gz", ".jsonl.gz")
"""Those of two parts: a number stands before both."""
_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999, after which there are no dates."""
_PART: Final = re.compile("%(.?)", re.DOTALL)


class Filed(NamedTuple):
    """Where a packet goes."""

    name: Name
    misplaced: str | None
    """`late` or `early`, where that is not where its time would put it."""


class FileTemplate:
    """A path with parts of the time in it."""

    def __init__(self, path: Path) -> None:
        """Read a template.

        Args:
            path: absolute.

        Raises:
            ValueError: it is no template of a file.
        """
        parts = path.parts[1:]
        if not path.is_absolute() or not parts or ".." in parts:
            raise ValueError(f"not an absolute path: {path}")
        fixed = next((at for at, part in enumerate(parts[:-1]) if "%" in part), len(parts) - 1)
        self.folder = Path(path.anchor, *parts[:fixed])
        """The fixed part: everything is beneath it."""
        self._pieces = [_pieces_of(part) for part in parts[fixed:]]
        codes = {code for pieces in self._pieces for code, _ in pieces if code}
        self._step = min((_STEPS.get(code, 86_400) for code in codes), default=86_400)
        self._slot = -1
        self._name: Name = ()
        last = self._pieces[-1]
        self.suffix = _suffix_of(last[-1][1]) if last[-1][0] == "" else ""
        """What a number stands before."""
        self._patterns = _patterns_of(self._pieces, self.suffix)

    @property
    def depth(self) -> int:
        """How many folders with parts of the time there are."""
        return len(self._pieces) - 1

    # A packet's place

    def place(self, view: View) -> Filed:
        """Return where a packet goes: by its capture time, if that can be believed."""
        arrived = view.received_us
        time_us = view.packet.time_us
        if time_us is None:
            return Filed(self.name(arrived), None)
        if time_us < arrived - BELIEVED_US:
            return Filed(self.name(arrived), "late")
        if time_us > arrived + BELIEVED_US:
            return Filed(self.name(arrived), "early")
        return Filed(self.name(time_us), None)

    def name(self, time_us: int) -> Name:
        """Return the name for a time, in UTC."""
        # All parts of the time begin with a multiple of the smallest one, as UTC has no offset.
        slot = min(max(time_us // 1_000_000, 0), _LAST_SECOND) // self._step
        if slot != self._slot:
            self._name = self._rendered(EPOCH + timedelta(seconds=slot * self._step))
            self._slot = slot
        return self._name

    def numbered(self, file: str, number: int) -> str:
        """Return the name of the file that follows as the `number`th; 0 is the first one itself."""
        if not number:
            return file
        end = len(file) - len(self.suffix)
        return f"{file[:end]}-{number}{self.suffix}"

    def number_of(self, file: str, of: str) -> int | None:
        """Return which file of one name this is; None for any other."""
        if file == of:
            return 0
        end = len(of) - len(self.suffix)
        found = re.fullmatch(r"-([1-9][0-9]*)", file[end : len(file) - len(self.suffix)])
        if found is None or not (file.startswith(of[:end]) and file.endswith(self.suffix)):
            return None
        return int(found[1])

    def _rendered(self, moment: datetime) -> Name:
        return tuple(
            "".join(moment.strftime(f"%{code}") if code else text for code, text in pieces)
            for pieces in self._pieces
        )

    # Recognising

    def makes_folder(self, name: Name) -> bool:
        """Return whether this template can make such folders."""
        return self._patterns[len(name) - 1].fullmatch("/".join(name)) is not None

    def makes(self, name: Name) -> bool:
        """Return whether this template can make such a file, numbered ones included."""
        if len(name) != len(self._pieces):
            return False
        found = self._patterns[-1].fullmatch("/".join(name))
        if found is None:
            return False
        numbers = {code: int(text) for code, text in found.groupdict().items() if text is not None}
        number = numbers.pop("number", 0)
        moments = _moments_of(numbers)
        if moments is None:
            return True
        for moment in moments:
            *folders, file = self._rendered(moment)
            if name == (*folders, self.numbered(file, number)):
                return True
        return False


def _pieces_of(part: str) -> list[tuple[str, str]]:
    """Return a part of a path as codes of the time and text; the other one of each is empty."""
    pieces: list[tuple[str, str]] = []
    text = ""
    at = 0
    for found in _PART.finditer(part):
        text += part[at : found.start()]
        at = found.end()
        code = found[1]
        if code == "%":
            text += "%"
        elif code in _CODES:
            if text:
                pieces.append(("", text))
            pieces.append((code, ""))
            text = ""
        else:
            raise ValueError(f"`%{code}` is no part of the time: {part}")
    text += part[at:]
    if text:
        pieces.append(("", text))
    return pieces


def _suffix_of(text: str) -> str:
    """Return the extension, or the two, at the end of a name's last piece of text."""
    for suffix in _SUFFIXES:
        if text.endswith(suffix):
            return suffix
    dot = text.rfind(".")
    return text[dot:] if dot >= 0 else ""


def _patterns_of(pieces: list[list[tuple[str, str]]], suffix: str) -> list[re.Pattern[str]]:
    """Return what the folders match, one after the other, and in the end the whole name."""
    seen: set[str] = set()
    so_far: list[str] = []
    patterns = []
    for at, part in enumerate(pieces):
        pattern = ""
        for code, text in part:
            if code in seen:
                pattern += f"(?P={code})"  # the same time: the same number
            elif code:
                seen.add(code)
                pattern += f"(?P<{code}>{_CODES[code]})"
            else:
                pattern += re.escape(text)
        if at == len(pieces) - 1:
            end = len(pattern) - len(re.escape(suffix))
            pattern = f"{pattern[:end]}(?:-(?P<number>[1-9][0-9]*))?{pattern[end:]}"
        so_far.append(pattern)
        patterns.append(re.compile("/".join(so_far)))
    return patterns


def _moments_of(numbers: dict[str, int]) -> list[datetime] | None:
    """Return the times that may have made these numbers; None where they do not tell the day."""
    if "Y" in numbers:
        years = [numbers["Y"]]
    elif "y" in numbers:
        years = [2000 + numbers["y"], 1900 + numbers["y"]]
    else:
        return None
    if "j" not in numbers and not {"m", "d"} <= numbers.keys():
        return None
    hour, minute, second = (numbers.get(code, 0) for code in "HMS")
    moments = []
    for year in years:
        if year < EPOCH.year:
            continue  # no packet has such a time
        with suppress(ValueError, OverflowError):  # a day that this year does not have
            moment = EPOCH.replace(year=year, hour=hour, minute=minute, second=second)
            if "j" in numbers:
                moment += timedelta(days=numbers["j"] - 1)
            else:
                moment = moment.replace(month=numbers["m"], day=numbers["d"])
            moments.append(moment)
    return moments
