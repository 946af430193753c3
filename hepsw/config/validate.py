"""One block against its model; what Pydantic finds becomes a diagnostic at the right key."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from hepsw.config.models import BLOCKS, SETTINGS, Block, blocks
from hepsw.config.models.block import UnfitError, Unread
from hepsw.config.spelling import did_you_mean
from hepsw.config.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

Model = TypeVar("Model", bound=Block)

_WANTED: Final = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def validated(model: type[Model], written: object, path: Path, report: Report) -> Model | None:
    """Return the block as its model, or None after reporting what is wrong with it."""
    judged = _Judged(model, written, path, report)
    return None if judged.is_wrong else judged.block


def salvaged(model: type[Model], written: object, path: Path, report: Report) -> Model | None:
    """Return what can be read of a block, so that the rest of it is judged too.

    What is wrong is reported, left out, and noted as `unread`. None where what remains is no block
    at all.
    """
    return _Judged(model, written, path, report).block


class _Judged(Generic[Model]):
    """One block, judged again without what was wrong in it, until nothing is.

    Some mistakes hide others: Pydantic does not ask whether values go together as long as one of
    them cannot be read. So each is taken out, or `Unread` is put there if the block needs one, and
    the rest is judged again. What is only wrong because of what was taken out is not reported.

    Args:
        model: of the block.
        written: is left as it is.
        path: of the block; places are counted from there on.
        report: is told what is wrong.
    """

    def __init__(self, model: type[Model], written: object, path: Path, report: Report) -> None:
        self._model = model
        self._path = path
        self._report = report
        self._rest = written
        self._required = {
            field.alias or name for name, field in model.model_fields.items() if field.is_required()
        }
        self._cut: dict[Path, object] = {}
        """What was taken out, by its place."""
        self._strange: dict[Path, str | None] = {}
        """Unknown keys, with what they were meant to be."""
        self._stand_ins: set[Path] = set()
        self.is_wrong = False
        """Whether anything is."""
        self.block = self._read()

    def _read(self) -> Model | None:
        while True:
            try:
                return self._model.model_validate(self._rest)
            except ValidationError as error:
                found = [(_steps(problem), problem) for problem in error.errors()]
            is_first = not self.is_wrong
            if is_first:
                self.is_wrong = True
                self._rest = deepcopy(self._rest)
            self._strange |= {
                steps: _meant(_model_at(self._model, steps[:-1]), str(steps[-1]))
                for steps, problem in found
                if problem["type"] == "extra_forbidden"
            }
            # What the block must have comes first: whether others go with it is still to be asked.
            first = [each for each in found if each[0] and each[0][0] in self._required]
            before = self._changes
            is_done = self._leave_out(first or found, is_first=is_first)
            if not is_done or self._changes == before:
                self._leave_out([each for each in found if each not in first], is_first=is_first)
                return None

    @property
    def _changes(self) -> int:
        return len(self._cut) + len(self._stand_ins)

    def _leave_out(self, found: list[tuple[Path, ErrorDetails]], *, is_first: bool) -> bool:
        """Report problems; return whether all of them could be taken out."""
        lacking: dict[Path, list[str]] = {}
        for steps, problem in found:
            is_missing = problem["type"] == "missing"
            if is_missing and steps not in self._cut and not self._is_misspelt(steps):
                lacking.setdefault(steps[:-1], []).append(f"`{steps[-1]}`")
        for block, keys in lacking.items():
            _report_missing(keys, (*self._path, *block), self._report)
        is_done = True
        for steps, problem in found:
            is_done &= self._judge(steps, problem, is_first=is_first)
        return is_done

    def _judge(self, steps: Path, problem: ErrorDetails, *, is_first: bool) -> bool:
        """Report a problem unless it comes of another; return whether it could be taken out."""
        if problem["type"] == "missing":
            return self._stand_in(steps)
        for place in _ways_to(steps):
            if place in self._stand_ins:  # nothing can stand there
                return self._take_out(place[:-1])
        # Nothing that can be written is None: that is a default, where something should stand. It
        # may be wrong only because of what was taken out beside it.
        is_default = problem["input"] is None
        is_told = is_first and not self._is_misspelt(steps) if is_default else True
        if is_told and not self._is_doubtful(steps):
            _report(self._model, problem, (*self._path, *steps), self._report)
        return self._stand_in(steps) if is_default else self._take_out(steps)

    def _is_misspelt(self, missing: Path) -> bool:
        """Tell whether a key that is missing is what an unknown one beside it was meant to be."""
        return any(
            key[:-1] == missing[:-1] and meant == missing[-1]
            for key, meant in self._strange.items()
        )

    def _is_doubtful(self, steps: Path) -> bool:
        """Tell whether a block may be wrong as a whole only because of what was taken out of it."""
        return any(len(place) > len(steps) and place[: len(steps)] == steps for place in self._cut)

    def _take_out(self, steps: Path) -> bool:
        """Take out the key that is wrong, or the one in whose value something is."""
        if any(place in self._cut for place in _ways_to(steps)):
            return True
        holder: dict[str | int, object] = {}
        place: Path = ()
        walked: Path = ()
        at = self._rest
        for step in steps:
            walked = (*walked, step)
            if isinstance(at, dict) and step in at:
                holder, place, at = at, walked, at[step]
            # An item stays where it is, or all behind it would be reported beside their places.
            elif isinstance(at, list) and isinstance(step, int) and step < len(at):
                at = at[step]
            elif not isinstance(step, int):  # one thing may stand for a list of one
                break
        if not place:
            return False
        self._cut[place] = holder.pop(place[-1])
        self._report.unread.add((*self._path, *place))
        return True

    def _stand_in(self, steps: Path) -> bool:
        """Put something where a key is missing; where nothing can be, its block is taken out."""
        at = self._rest
        for step in steps[:-1]:
            if isinstance(at, dict):
                at = at.get(step)
            elif isinstance(at, list) and isinstance(step, int) and step < len(at):
                at = at[step]
        if not isinstance(at, dict):
            return self._take_out(steps[:-1])
        at[steps[-1]] = Unread(self._cut.get(steps))
        self._stand_ins.add(steps)
        self._report.unread.add((*self._path, *steps))
        return True


def _steps(found: ErrorDetails) -> Path:
    """Return where a problem is; which shape of a value was judged is no step of the operator's."""
    return tuple(step for step in found["loc"] if not str(step).startswith("<"))


def _ways_to(steps: Path) -> list[Path]:
    """Return a place, and all that it is in."""
    return [steps[:length] for length in range(1, len(steps) + 1)]


def _report(model: type[Block], found: ErrorDetails, place: Path, report: Report) -> None:
    steps = _steps(found)
    context = found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            _unknown_key(_model_at(model, steps[:-1]), place, report)
        case "value_error":
            error = context["error"]
            unfit = isinstance(error, UnfitError)
            tell = report.key_error if unfit and error.at_key else report.error
            tell("HEP106", str(error), place, error.cure if unfit else None)
        case "literal_error":
            legal = [
                word.strip("'\" ") for word in context["expected"].replace(" or ", ",").split(",")
            ]
            meant = did_you_mean(str(found["input"]), legal, foreign={})
            hint = f"did you mean `{meant}`?" if meant else None
            report.error(
                "HEP106", f"{found['input']!r} is not one of {', '.join(legal)}", place, hint
            )
        case kind if kind in _WANTED:
            report.error("HEP105", f"`{_key(place)}` wants {_WANTED[kind]}", place)
        case "too_short" | "string_too_short":
            report.error("HEP106", f"`{_key(place)}` is empty", place)
        case "greater_than":
            _bound(found, "more than", context["gt"], place, report)
        case "less_than_equal":
            _bound(found, "at most", context["le"], place, report)
        case "greater_than_equal":
            _bound(found, "at least", context["ge"], place, report)
        case "string_pattern_mismatch":
            report.error(
                "HEP106", f"{found['input']!r} is no name: letters, digits and `_ . -`", place
            )
        case _:
            report.error("HEP106", f"`{_key(place)}`: {found['msg'].lower()}", place)


def _report_missing(keys: Sequence[str], place: Path, report: Report) -> None:
    """Report keys that a block lacks, all at once: they have one place, that of the block."""
    block = ".".join(str(step) for step in place if not isinstance(step, int))
    verb = "is" if len(keys) == 1 else "are"
    report.key_error("HEP107", f"{' and '.join(keys)} {verb} missing in `{block}`", place)


def _bound(found: ErrorDetails, than: str, bound: float, place: Path, report: Report) -> None:
    # Of all that is written as a text, only durations have bounds other than 0.
    is_duration = isinstance(found["input"], str) and bound > 0
    limit = duration_text(bound) if is_duration else f"{bound:g}"
    report.error("HEP106", f"`{_key(place)}` must be {than} {limit}", place)


def _key(place: Path) -> str:
    return next((step for step in reversed(place) if isinstance(step, str)), "")


def _unknown_key(model: type[BaseModel] | None, place: Path, report: Report) -> None:
    key = str(place[-1])
    legal = legal_keys(model)
    meant = did_you_mean(key, legal, _EVERYWHERE)
    hint = f"did you mean `{meant}`?" if meant else f"legal here: {' '.join(legal)}"
    report.key_error("HEP104", f"unknown key `{key}`", place, hint)


def _meant(model: type[BaseModel] | None, key: str) -> str | None:
    """Return which key of its block an unknown one was meant to be."""
    legal = legal_keys(model)
    meant = did_you_mean(key, legal)
    return meant if meant in legal else None


def unknown_block(key: str, report: Report) -> None:
    """Report a name at the top of a file that is no block."""
    meant = did_you_mean(key, [*BLOCKS, *SETTINGS], _EVERYWHERE)
    hint = f"did you mean `{meant}`?" if meant else None
    report.key_error("HEP104", f"unknown block `{key}`", (key,), hint)


def legal_keys(model: type[BaseModel] | None) -> list[str]:
    """Return the keys of a block as an operator writes them."""
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], steps: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model of a block inside another."""
    found: type[BaseModel] | None = model
    for step in steps:
        if isinstance(step, int) or found is None:
            continue
        by_key = {field.alias or name: field for name, field in found.model_fields.items()}
        field = by_key.get(step)
        found = next(models_in(field.annotation), None) if field else None
    return found


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


_EVERYWHERE: Final = sorted({key for model in blocks() for key in legal_keys(model)} | set(BLOCKS))
"""Every key there is, for a word that is right in another place."""
