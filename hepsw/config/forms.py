"""The defaults of the models as an operator writes them: `5s`, not 5.0; `16MiB`, not 16777216.

The models hold what hepsw works with. Written back, a default is tried in one form after the other
until its own key reads one of them as the same value: what the schema and `hepsw dump --effective`
show can always be written.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import TypeAdapter, ValidationError

from hepsw.config import models
from hepsw.config.models import Block
from hepsw.config.units import duration_text, size_text

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@lru_cache(maxsize=1024)
def default_form(model: type[Block], name: str) -> Any:
    """Return the default of a field as it is written; None where nothing stands for it.

    Args:
        model: the block.
        name: the field by its name in the model, which is not always its key.
    """
    field = model.model_fields[name]
    return None if field.is_required() else _written(field, field.get_default())


def is_nothing(value: Any) -> bool:
    """Tell whether a value is what stands for no value: a note that is empty, a list of nothing."""
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)


def _written(field: FieldInfo, value: Any) -> Any:
    if is_nothing(value):
        return None
    kind: Any = field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(
        Annotated[kind, *field.metadata] if field.metadata else kind
    )
    for form in _forms(value):
        try:
            if adapter.validate_python(form) == value:
                return form
        except ValidationError:
            continue
    return None


def _forms(value: Any) -> list[Any]:
    if isinstance(value, Block):
        forms = {
            field.alias or name: default_form(type(value), name)
            for name, field in type(value).model_fields.items()
        }
        long = {key: form for key, form in forms.items() if form is not None}
        return [long, models.SHORT_WORDS.get(type(value))]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [value]
    texts = [duration_text(value)] if value >= 0 else []
    return [value, *texts, *([size_text(value)] if isinstance(value, int) else [])]
