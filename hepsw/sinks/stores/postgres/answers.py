"""What a server answered, held to what was asked: columns by their names, values by their types.

asyncpg makes of an answer whatever the server says that it is. A proxy or a damaged server may send
well-formed messages that answer another question: that is the far side's fault, and must not come
out as a bug of the code that reads it. All who read rows read them through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hepsw.sinks.stores.postgres.messages import damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import UnionType

T = TypeVar("T")


def rows(answer: Sequence[Any], **columns: type | UnionType) -> Sequence[Any]:
    """Return the rows of an answer, which have these columns with values of these types.

    Raises:
        StoreError: they do not.
    """
    for row in answer:
        for name, kind in columns.items():
            try:
                value = row[name]
            except KeyError:
                raise damaged(f"an answer without `{name}`") from None
            _check(f"where `{name}` is", value, kind)
    return answer


def values(answer: Iterable[Any], kind: type[T]) -> list[T]:
    """Return the values of an answer of one column.

    Raises:
        StoreError: it is none.
    """
    found = []
    for row in answer:
        if len(row) != 1:
            raise damaged(f"an answer of {len(row)} columns, not of one")
        found.append(value(row[0], kind))
    return found


def value(answer: object, kind: type[T]) -> T:
    """Return the value of an answer.

    Raises:
        StoreError: it is of another type.
    """
    _check("that is", answer, kind)
    return answer  # type: ignore[return-value] # it was just checked


def _check(how: str, value: object, kind: type | UnionType) -> None:
    # True is an int to Python, and no number to a server.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise damaged(f"an answer {how} {'NULL' if value is None else type(value).__name__}")
