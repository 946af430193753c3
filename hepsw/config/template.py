r"""Templates: `"{field|filter:arg}"`, read once, rendered for each packet.

A template is text with slots; a slot names a field and passes its value through filters. What a
packet lacks renders empty. There is no code and no loop, and the time it takes is bounded by the
length of the value. `{{` and `}}` are braces themselves; a filter's argument may stand in quotes
(`'CallID: *(\S+)'`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import re2

from hepsw.config.rendering import Filled, Joined, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.config.rendering import Part
    from hepsw.fields import Field
    from hepsw.view import View

FIRST_OF_HASH: Final = 16
"""Hexadecimal digits that `hash` prints: 64 bits."""


class TemplateError(ValueError):
    """A template that cannot be read."""

    def __init__(self, message: str, column: int, length: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        """Characters from the start of the template to the trouble."""
        self.length = length
        """Characters of what is wrong; None: all that follows."""


@dataclass(frozen=True, slots=True)
class Slot:
    """`{field|filter|filter}`."""

    field: Field
    filters: tuple[Callable[[bytes], bytes], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Text and slots, in order."""

    source: str
    parts: tuple[bytes | Slot, ...]
    running: Part = field(init=False, repr=False, compare=False)
    """What renders it, made of the parts."""

    def __post_init__(self) -> None:
        """Make ready to render."""
        parts = [
            Literal(part) if isinstance(part, bytes) else Filled(part.field, part.filters)
            for part in self.parts
        ]
        object.__setattr__(self, "running", parts[0] if len(parts) == 1 else Joined(parts))

    @property
    def is_literal(self) -> bool:
        """True when no packet can change what it renders."""
        return not any(isinstance(part, Slot) for part in self.parts)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that it reads."""
        return tuple(part.field for part in self.parts if isinstance(part, Slot))

    def render(self, view: View) -> bytes:
        """Return the text for one packet; what it lacks is empty."""
        return self.running.render(view)


def parse(source: str, lookup: Callable[[str], Field]) -> Template:
    """Read a template.

    Args:
        source: as the operator wrote it.
        lookup: returns the field of a name, or raises ValueError with the reason why there is none.

    Raises:
        TemplateError: a brace is not closed, a field or a filter does not exist, an argument is
        wrong.
    """
    parts: list[bytes | Slot] = []
    text = ""
    at = 0
    while at < len(source):
        if source.startswith(("{{", "}}"), at):
            text += source[at]
            at += 2
        elif source[at] == "{":
            if text:
                parts.append(text.encode())
                text = ""
            slot, at = _slot(source, at, lookup)
            parts.append(slot)
        elif source[at] == "}":
            raise TemplateError("`}` without `{`; a brace itself is written twice", at)
        else:
            text += source[at]
            at += 1
    if text:
        parts.append(text.encode())
    return Template(source, tuple(parts))


def _slot(source: str, start: int, lookup: Callable[[str], Field]) -> tuple[Slot, int]:
    words, end = _words(source, start)
    (name, name_at), *rest = words
    try:
        found = lookup(name)
    except ValueError as error:
        raise TemplateError(str(error), name_at, len(name)) from None
    return Slot(found, tuple(_filter(word, at) for word, at in rest)), end


def _words(source: str, start: int) -> tuple[list[tuple[str, int]], int]:
    """Cut `{a|b:c|d}` at its bars, outside quotes; return words with columns, and the end."""
    words: list[tuple[str, int]] = []
    begin = at = start + 1
    quote = ""
    while at < len(source):
        here = source[at]
        if quote:
            quote = "" if here == quote else quote
        elif here in "'\"" and source[at - 1] in ":,":
            quote = here
        elif here in "|}":
            words.append((source[begin:at].strip(), begin))
            begin = at + 1
            if here == "}":
                return words, at + 1
        at += 1
    if quote:
        raise TemplateError(f"the quote {quote} is never closed", start)
    raise TemplateError("`{` is never closed; a brace itself is written twice", start)


def _filter(word: str, at: int) -> Callable[[bytes], bytes]:
    name, colon, rest = word.partition(":")
    maker = FILTERS.get(name)
    if maker is None:
        known = ", ".join(FILTERS)
        raise TemplateError(f"unknown filter `{name}`; there are {known}", at, len(name))
    try:
        return maker(_arguments(rest) if colon else [])
    except (ValueError, IndexError) as error:
        reason = "its argument is missing" if isinstance(error, IndexError) else str(error)
        raise TemplateError(f"filter `{name}`: {reason}", at, len(word)) from None


def _arguments(text: str) -> list[str]:
    """Cut `a:b:'c:d'` at its colons, outside quotes."""
    found = re.findall(r"'([^']*)'(?::|$)|\"([^\"]*)\"(?::|$)|([^:]*)(?::|$)", text)
    arguments = [single or double or bare for single, double, bare in found]
    # The pattern also matches the empty end of the text, unless that is what follows a last colon.
    return arguments if text.endswith(":") or not text else arguments[:-1]


def _no_more(arguments: Sequence[str], most: int) -> None:
    if len(arguments) > most:
        raise ValueError(
            f"takes {most or 'no'} argument{'s' if most > 1 else ''}, not {len(arguments)}"
        )


def _whole(argument: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", argument):
        raise ValueError(f"wants a whole number from 0, not {argument!r}")
    return int(argument)


def _select(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`select:1:@`: the part with this number, counted from 0, between separators."""
    _no_more(arguments, 2)
    number, separator = _whole(arguments[0]), arguments[1].encode()
    if not separator:
        raise ValueError("wants a separator")

    def apply(octets: bytes) -> bytes:
        parts = octets.split(separator, number + 1)
        return parts[number] if number < len(parts) else b""

    return apply


def _lower(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`lower`: ASCII letters in lower case."""
    _no_more(arguments, 0)
    return bytes.lower


def _upper(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`upper`: ASCII letters in upper case."""
    _no_more(arguments, 0)
    return bytes.upper


def _default(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`default:x`: x where there is nothing."""
    _no_more(arguments, 1)
    other = arguments[0].encode()
    return lambda octets: octets or other


def _hash(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`hash`: the first 16 hexadecimal digits of SHA-256; nothing stays nothing."""
    _no_more(arguments, 0)
    return lambda octets: octets and hashlib.sha256(octets).hexdigest()[:FIRST_OF_HASH].encode()


def _mask(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`mask:4`: stars, but for the last so many octets."""
    _no_more(arguments, 1)
    shown = _whole(arguments[0])
    return lambda octets: b"*" * (len(octets) - shown) + octets[max(0, len(octets) - shown) :]


def _bucket(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`bucket:5,10`: `0-5`, `5-10` or `10-`: the range that the number falls into."""
    _no_more(arguments, 1)
    try:
        edges = [float(edge) for edge in arguments[0].split(",")]
    except ValueError:
        raise ValueError("wants numbers, as in bucket:5,10,20") from None
    if edges != sorted(set(edges)) or edges[0] <= 0:
        raise ValueError("wants rising numbers above 0")
    names = [f"{edge:g}".encode() for edge in (0, *edges)]

    def apply(octets: bytes) -> bytes:
        try:
            number = float(octets)
        except ValueError:
            return b""
        passed = sum(number >= edge for edge in edges)
        return names[passed] + b"-" + (names[passed + 1] if passed < len(edges) else b"")

    return apply


def _replace(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`replace:a:b`: every a becomes b."""
    _no_more(arguments, 2)
    old, new = arguments[0].encode(), arguments[1].encode()
    if not old:
        raise ValueError("wants something to replace")
    if len(new) > len(old):
        # Grows with the value; the chunk's own limit stops it where it is set.
        return lambda octets: octets.replace(old, new)[:0xFFFF]
    return lambda octets: octets.replace(old, new)


def _re(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`re:'…'`: an RE2 expression, searched; its first group, else all that it found."""
    _no_more(arguments, 1)
    expression = compile_re(arguments[0])

    def apply(octets: bytes) -> bytes:
        found = expression.search(octets)
        if found is None:
            return b""
        group: bytes | None = found[1] if expression.groups else found[0]
        return group or b""

    return apply


def _shr(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`shr:16`: the number, shifted right by so many bits."""
    _no_more(arguments, 1)
    bits = _whole(arguments[0])
    if bits >= 64:
        raise ValueError("wants a number of bits from 0 to 63")
    # Twenty digits hold any 64-bit number; Python refuses to read some thousands.
    return lambda octets: (
        str(int(octets) >> bits).encode() if len(octets) <= 20 and octets.isdigit() else b""
    )


def _json(arguments: Sequence[str]) -> Callable[[bytes], bytes]:
    """`json`: the text as a JSON string, quotes included."""
    _no_more(arguments, 0)
    import orjson  # noqa: PLC0415 - only a template that asks for it pays

    return lambda octets: orjson.dumps(octets.decode("utf-8", "replace"))


FILTERS: Final[dict[str, Callable[[Sequence[str]], Callable[[bytes], bytes]]]] = {
    "select": _select,
    "lower": _lower,
    "upper": _upper,
    "default": _default,
    "hash": _hash,
    "mask": _mask,
    "bucket": _bucket,
    "replace": _replace,
    "re": _re,
    "shr": _shr,
    "json": _json,
}
"""Every filter: its maker takes the arguments as written and returns what is applied to the octets.
"""


def compile_re(expression: str) -> re2._Regexp[bytes]:
    """Compile an RE2 expression that searches octets; linear in the length of what it searches.

    Raises:
        ValueError: RE2 refuses it; back references and look-around do not exist there.
    """
    options = re2.Options()
    options.log_errors = False
    # A payload is octets. Read as UTF-8, one octet that is not would hide all around it from `.`.
    options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(expression.encode(), options=options)
    except re2.error as error:
        detail = error.args[0] if error.args else error
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"not an RE2 expression: {text}") from None
