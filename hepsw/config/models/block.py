"""What every block of the language has in common, and the small types that keys are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from hepsw.config.units import Url, duration, rate, share, size, url

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidatorFunctionWrapHandler

NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
"""What rules, counters and labels may be called."""


class UnfitError(ValueError):
    """What is written does not go with its neighbours: the trouble, and the way out of it."""

    def __init__(self, text: str, cure: str, *, at_key: bool = False) -> None:
        super().__init__(text)
        self.cure = cure
        self.at_key = at_key
        """It is the key that should not be there, whatever its value."""


class Block(BaseModel):
    """A block of the language: no key that is not named here, and no change once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=False,
        arbitrary_types_allowed=True,
    )


class Unread:
    """Stands where a key is missing or wrong, so that the rest of its block can be judged."""

    def __init__(self, written: object) -> None:
        self.written = written
        """What stood there; None where nothing did."""


def or_unread(stand_in: Callable[[object], object]) -> WrapValidator:
    """Let a key that must be there be unread.

    Args:
        stand_in: returns the value that the key has then, of what was written.
    """

    def read(written: object, validate: ValidatorFunctionWrapHandler) -> object:
        return stand_in(written.written) if isinstance(written, Unread) else validate(written)

    return WrapValidator(read)


def listed(written: object) -> object:
    """Return the long form of a list: one thing is a list of one."""
    return written if isinstance(written, list) else [written]


class Mapped(Block):
    """`{ map = "x" }`: the names that a map gives for the packet."""

    map: str
    """The map."""


class Secret(Block):
    """A secret: `{ env = "X" }`, `{ file = "…" }`, or, with a warning, the text itself."""

    env: Annotated[str, Field(min_length=1)] | None = None
    """The environment variable that holds it."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """The file that holds it; a line end behind it does not count."""
    literal: str | None = None
    """The secret itself, where it was written as a text; never a key of its own."""

    def __repr__(self) -> str:
        return f"Secret(env={self.env!r}, file={self.file!r})"

    __str__ = __repr__

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, written: object) -> object:
        if isinstance(written, str):
            return {"literal": written}
        if isinstance(written, dict) and len(written) == 1 and set(written) <= {"env", "file"}:
            return written
        raise ValueError('a secret is { env = "X" }, { file = "…" }, or a text')


def as_written(*forms: dict[str, Any]) -> WithJsonSchema:
    """Tell the JSON schema what an operator writes, where a validator makes something else of it.

    Each form has a title, which editors show where there are several.
    """
    return WithJsonSchema(forms[0] if len(forms) == 1 else {"anyOf": [*forms]})


def _text(title: str, pattern: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "title": title, "pattern": pattern, "examples": [*examples]}


DURATION: Final = _text(
    "a duration", r"^[0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h|d)$", "500ms", "5s", "2h"
)
SIZE: Final = _text("a size", r"^[0-9]{1,12}(B|KiB|MiB|GiB|TiB)$", "512KiB", "16MiB")
RATE: Final = _text("a rate", r"^[0-9]{1,9}(\.[0-9]{1,3})?/(s|m|h)$", "200/s", "30/m")
SHARE: Final = _text("a share", r"^[0-9]{1,3}(\.[0-9]{1,6})?%$", "10%", "0.5%")


def one_shape(table: Any, other: Any) -> Any:
    """Return the type of what is written as a table or as something else.

    The shape decides which of the two is meant, so that one mistake is one error. The tags are
    steps of an error's place; `validate.py` leaves out what stands in angle brackets.
    """
    return Annotated[
        Annotated[table, Tag("<table>")] | Annotated[other, Tag("<other>")],
        Discriminator(lambda written: "<table>" if isinstance(written, dict) else "<other>"),
    ]


def _name(written: object) -> object:
    if isinstance(written, dict):
        raise ValueError("a map stands alone, not in a list")
    return written


if TYPE_CHECKING:
    Names = list[str] | Mapped
else:
    Names = one_shape(
        Mapped, Annotated[list[Annotated[str, BeforeValidator(_name)]], BeforeValidator(listed)]
    )
"""One name, a list of them, or a map that gives them."""
Strings = Annotated[list[str], BeforeValidator(listed)]
Duration = Annotated[float, BeforeValidator(duration), as_written(DURATION)]
Size = Annotated[int, BeforeValidator(size), as_written(SIZE)]
Rate = Annotated[float, BeforeValidator(rate), as_written(RATE)]
Share = Annotated[float, BeforeValidator(share), as_written(SHARE)]


def read_urls(written: object) -> list[Url]:
    """Return the urls of a list as far as each can be read: without a host where it cannot.

    The others stay in their places, and the scheme still tells what goes with it.
    """
    return [_readable(item) for item in listed(written)]  # type: ignore[attr-defined] # a list


def _readable(written: object) -> Url:
    try:
        return url(written)
    except ValueError:
        scheme, separator, _ = str(written).partition("://")
        return Url(scheme if separator else "", "", 0)


def one_of(*schemes: str, verb: str) -> Any:
    """Return the type of a url with one of these schemes."""

    def read(written: object) -> Url:
        found = url(written)
        if found.scheme not in schemes:
            raise ValueError(f"cannot {verb} `{found.scheme}://`: {', '.join(schemes)}")
        return found

    pattern = rf"^({'|'.join(schemes)})://[^/?#@]+$"
    written = _text("a url", pattern, *(f"{scheme}://192.0.2.1" for scheme in schemes))
    return Annotated[Url, BeforeValidator(read), as_written(written)]
