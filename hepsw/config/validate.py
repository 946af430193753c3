"""One block against its model; what Pydantic finds becomes a diagnostic at the right key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from hepsw.config.models import BLOCKS, SETTINGS, Block, blocks
from hepsw.config.models.block import UnfitError
from hepsw.config.spelling import did_you_mean
from hepsw.config.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    try:
        return model.model_validate(written)
    except ValidationError as error:
        _report_all(model, error, path, report)
        return None


def salvaged(
    model: type[Model], written: dict[str, Any], path: Path, report: Report
) -> tuple[Model | None, bool]:
    """Return what can be read of a block, and whether that is all of it.

    So the rest of a rule is judged too, though one of its keys is wrong.
    Keys that are wrong are reported and left out. None where what remains is no block at all.
    """
    try:
        return model.model_validate(written), True
    except ValidationError as error:
        wrong = _report_all(model, error, path, report)
    rest = {key: value for key, value in written.items() if key not in wrong}
    try:
        return model.model_validate({"name": "unnamed", **rest}), False
    except ValidationError:
        return None, False


def _report_all(
    model: type[Block], error: ValidationError, path: Path, report: Report
) -> set[int | str]:
    """Report what is wrong with a block, and return the keys that are."""
    found = error.errors()
    strange = any(problem["type"] == "extra_forbidden" for problem in found)
    for problem in found:
        # What is missing is most likely what an unknown key was meant to be.
        if problem["type"] != "missing" or not strange:
            _report(model, problem, path, report)
    return {problem["loc"][0] for problem in found if problem["loc"]}


def _report(model: type[Block], found: ErrorDetails, path: Path, report: Report) -> None:
    # Which shape of a value was judged is no step of the operator's.
    steps = tuple(step for step in found["loc"] if not str(step).startswith("<"))
    place = (*path, *steps)
    context = found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            _unknown_key(_model_at(model, steps[:-1]), place, report)
        case "missing":
            block = ".".join(str(step) for step in place[:-1] if not isinstance(step, int))
            report.key_error("HEP107", f"`{steps[-1]}` is missing in `{block}`", place[:-1])
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
