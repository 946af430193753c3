"""One block against its model; what Pydantic finds becomes a diagnostic at the right key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from hepsw.config.models import BLOCKS, NOT_YET, Block
from hepsw.config.spelling import did_you_mean

if TYPE_CHECKING:
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
    place = (*path, *found["loc"])
    context = found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            _unknown_key(_model_at(model, found["loc"][:-1]), place, report)
        case "missing":
            block = ".".join(str(step) for step in path if not isinstance(step, int))
            report.key_error("HEP107", f"`{found['loc'][-1]}` is missing in `{block}`", place[:-1])
        case "not_yet":
            report.error("HEP108", found["msg"], place)
        case "value_error":
            report.error("HEP106", str(context["error"]), place)
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
            report.error("HEP106", f"`{_key(place)}` must be more than {context['gt']}", place)
        case "less_than_equal":
            report.error("HEP106", f"`{_key(place)}` must be at most {context['le']}", place)
        case "string_pattern_mismatch":
            report.error(
                "HEP106", f"{found['input']!r} is no name: letters, digits and `_ . -`", place
            )
        case _:
            report.error("HEP106", f"`{_key(place)}`: {found['msg'].lower()}", place)


def _key(place: Path) -> str:
    return next((step for step in reversed(place) if isinstance(step, str)), "")


def _unknown_key(model: type[BaseModel] | None, place: Path, report: Report) -> None:
    key = str(place[-1])
    if model is not None and issubclass(model, Block) and key in NOT_YET.get(model, ()):
        report.key_error("HEP108", f"`{key}` is not yet supported", place)
        return
    legal = legal_keys(model)
    meant = did_you_mean(key, legal, _EVERYWHERE)
    hint = f"did you mean `{meant}`?" if meant else f"legal here: {' '.join(legal)}"
    report.key_error("HEP104", f"unknown key `{key}`", place, hint)


def unknown_block(key: str, report: Report) -> None:
    """Report a name at the top of a file that is no block."""
    if key in NOT_YET[None]:
        report.key_error("HEP108", f"`{key}` is not yet supported", (key,))
        return
    meant = did_you_mean(key, [*BLOCKS, "reload", "log"], _EVERYWHERE)
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
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        found = next(
            (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None
        )
    return found


_EVERYWHERE: Final = sorted(
    {key for model in Block.__subclasses__() for key in legal_keys(model)} | set(BLOCKS)
)
"""Every key there is, for a word that is right in another place."""
