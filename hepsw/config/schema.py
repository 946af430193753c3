"""The JSON schema of a configuration file: what editors complete, explain and underline.

Made of what `hepsw check` judges by: the models with their docstrings, and the field catalogue. It
knows one file and no machine, so nothing is required at the top (`rules/*.toml` are parts), and
whether names lead anywhere is left to `hepsw check`.

Where a description stands beside a reference, the reference is wrapped: editors that read older
drafts (Taplo, and what is built on it) would not see the description.

Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from hepsw.config import models
from hepsw.config.configuration import Expect
from hepsw.config.field_schema import FieldBlocks, Schema, text
from hepsw.config.forms import default_form
from hepsw.config.models.block import Block, listed
from hepsw.config.models.docstrings import field_docs
from hepsw.config.sources import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

NAMED: Final[dict[str, type[Block]]] = {
    "destinations": models.Destination,
    "stores": models.Store,
    "traces": models.Trace,
    "maps": models.Map,
    "chunks": models.ChunkName,
    "privacy": models.Privacy,
    "tables": models.Table,
}
"""Blocks of named things, each of one model."""

EXPECT_DOCS: Final = {
    "rule": "The last rule that matched, as `table/name`.",
    "path": "All rules that matched, in order.",
    "relay": "The destinations that got the packet: these and no others.",
    "store": "The stores that got the packet: these and no others.",
    "trace": "The traces that added outputs: these and no others.",
    "drop": "The reason of the drop that ended the walk.",
    "missed": "Whether the walk left its table undecided.",
    "log": "One of the lines that were written.",
    "after": "What holds of the packet as it stood at the end: a match block.",
}

_FIELD_NAMES: Final = frozenset(
    {
        ("Destination", "key"),
        ("Destination", "unset"),
        ("Rule", "unset"),
        ("Sample", "by"),
        ("Limit", "per"),
        ("Dedupe", "key"),
        ("Map", "key"),
    }
)
"""Keys whose texts are names of fields."""

_BY_FIELDS: Final = {
    ("Rule", "match"): "Match",
    ("Rule", "set"): "Set",
    ("Destination", "set"): "Set",
    ("RuleTest", "given"): "Given",
    ("PathTest", "given"): "Given",
    ("RuleTest", "expect"): "Expect",
    ("PathTest", "expect"): "Expect",
    ("Store", "url"): "StoreUrl",
}
"""Keys that the models leave open, with the definition that says what they hold."""


def schema() -> Schema:
    """Return the schema of one file of a configuration."""
    defs = _models()
    defs.update(FieldBlocks().defs)
    defs["Expect"] = _expect()
    # What a store's url may be beside a secret is a url, not any text.
    defs["StoreUrl"] = {"anyOf": [_ref("SecretElsewhere"), defs["Store"]["x-url"]]}
    del defs["Store"]["x-url"]
    return {
        "$schema": DRAFT,
        "title": "hepsw",
        "description": "A file of a hepsw configuration: hepsw.toml, or a part of it in rules/.",
        "type": "object",
        "properties": {
            SCHEMA: {
                "title": SCHEMA,
                "description": "Where editors find this schema; hepsw reads nothing from it.",
                "type": "string",
            },
            **{block: {"title": block, **content} for block, content in _blocks().items()},
        },
        "additionalProperties": False,
        "$defs": dict(sorted(defs.items())),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _sentence(doc: str | None) -> str:
    """Return a docstring as one line."""
    return " ".join((doc or "").split())


# --- blocks at the top ---------------------------------------------------------------------------


def _blocks() -> dict[str, Schema]:
    found = {
        "listen": _array(_ref("Listen"), _sentence(models.Listen.__doc__)),
        **{
            block: _named(_ref(model.__name__), _sentence(model.__doc__))
            for block, model in NAMED.items()
        },
        "sets": _named(_set(), '`[sets]`: named values, used as `"@name"`.'),
        "matchers": _named(
            _ref("Match"), '`[matchers]`: match blocks by name, for `match.is = "name"`.'
        ),
        "proto_types": {
            **_named(
                {"type": "integer", "title": "a payload type", "minimum": 0, "maximum": 255},
                "`[proto_types]`: names of payload types, beside the built-in ones or instead.",
            ),
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]{0,31}$"},
        },
        "rules": _named(
            {"type": "array", "title": "rules of a table", "items": _ref("Rule")},
            _sentence(models.Rule.__doc__),
        ),
        "tests": _array(_ref("PathTest"), _sentence(models.PathTest.__doc__)),
        **{
            block: {"description": _sentence(model.__doc__), "anyOf": [_ref(model.__name__)]}
            for block, model in models.SETTINGS.items()
        },
    }
    return {block: found[block] for block in (*models.BLOCKS, *models.SETTINGS)}


def _named(content: Schema, doc: str) -> Schema:
    return {"description": doc, "type": "object", "additionalProperties": content}


def _array(content: Schema, doc: str) -> Schema:
    return {"description": doc, "type": "array", "items": content}


def _set() -> Schema:
    value = {"anyOf": [text("a text"), {"type": "integer", "title": "a number"}]}
    return {"anyOf": [{"type": "array", "title": "values", "items": value}, _ref("SetFile")]}


def _expect() -> Schema:
    one = text("a name")
    names = {"anyOf": [one, {"type": "array", "title": "names", "items": one}]}
    path = {"type": "array", "items": text("a rule")}
    special: dict[str, Schema] = {
        "path": path,
        "relay": names,
        "store": names,
        "trace": names,
        "missed": {"type": "boolean"},
        "after": {"anyOf": [_ref("Match")], "minProperties": 1},
    }
    return {
        "title": "what is expected",
        "description": "What must become of the last packet.",
        "type": "object",
        "properties": {
            key: {
                "title": key,
                "description": EXPECT_DOCS[key],
                **special.get(key, {"type": "string"}),
            }
            for key in Expect.__dataclass_fields__
        },
        "additionalProperties": False,
        "minProperties": 1,
    }


# --- models --------------------------------------------------------------------------------------


class _Written(GenerateJsonSchema):
    """Says what is written, where a validator makes the long form of it."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        found = super().function_before_schema(schema)
        function: Any = schema["function"].get("function")
        if function is not listed:
            return found
        array = next(form for form in found.get("anyOf", [found]) if form.get("type") == "array")
        return {"anyOf": [array["items"], {**array, "title": "a list"}]}


def _every_block(model: type[Block] = Block) -> Iterator[type[Block]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _every_block(inner)


def _models() -> dict[str, Schema]:
    """Return a definition for each model."""
    blocks = list(_every_block())
    _, made = models_json_schema(
        [(block, "validation") for block in blocks],
        ref_template="#/$defs/{model}",
        schema_generator=_Written,
    )
    return {
        name: content
        for block in blocks
        for name, content in _definitions(block, made["$defs"][block.__name__])
    }


def _definitions(block: type[Block], made: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the definition of a block, and what it is made of."""
    name = block.__name__
    doc = _sentence(block.__doc__)
    quoted = re.match("`([^`]+)`", doc)
    keys = {field.alias or own: own for own, field in block.model_fields.items()}
    table = {
        **made,
        "title": quoted[1] if quoted else name,
        "description": doc,
        "properties": {
            key: _property(block, own, key, made["properties"][key]) for key, own in keys.items()
        },
    }
    if block is models.Secret:
        del table["properties"]["literal"]
        yield "SecretElsewhere", {**table, "minProperties": 1, "maxProperties": 1}
        plain = text("the secret itself", minLength=1)
        yield name, {"title": name, "description": doc, "anyOf": [_ref("SecretElsewhere"), plain]}
        return
    if block is models.Store:
        table["x-url"] = made["properties"]["url"]["oneOf"][1]
    short: list[Schema] = []
    if block in models.SHORT_FORMS:
        of_key = {**table["properties"][models.SHORT_FORMS[block]]}
        of_key.pop("default", None)
        short = [of_key]
    elif block in models.SHORT_WORDS:
        short = [{"const": models.SHORT_WORDS[block], "title": "a word"}]
        table["minProperties"] = 1
    if short:
        yield name, {"title": table["title"], "description": doc, "anyOf": [*short, table]}
    else:
        yield name, table


def _property(block: type[Block], own: str, key: str, made: Schema) -> Schema:
    """Return what may be written for one key of a block."""
    place = (block.__name__, key)
    content = {
        word: value
        for word, value in made.items()
        if word not in {"title", "default", "description"}
    }
    if place in _BY_FIELDS:
        content = _ref(_BY_FIELDS[place])
    content = _tidied(content, names=place in _FIELD_NAMES)
    if place == ("Rule", "observe"):
        (labels,) = content["patternProperties"].values()
        value = text("value", description="The number: a template.")
        labels.update(properties={"value": value}, required=["value"])
    if "$ref" in content:
        content = {"anyOf": [content]}
    default = default_form(block, own)
    return {
        **content,
        "title": key,
        "description": _sentence(field_docs(block)[own]),
        **({} if default is None else {"default": default}),
    }


def _tidied(content: Any, *, names: bool) -> Any:
    """Return a schema without what TOML has not, its names of fields as such."""
    if isinstance(content, list):
        return [_tidied(item, names=names) for item in content if item != {"type": "null"}]
    if not isinstance(content, dict):
        return content
    if names and content == {"type": "string"}:
        return _ref("FieldName")
    tidy = {
        # Shapes that exclude each other need not be counted.
        ("anyOf" if word == "oneOf" else word): _tidied(value, names=names)
        for word, value in content.items()
        if word != "discriminator"
    }
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    if [*tidy] == ["anyOf"] and len(tidy["anyOf"]) == 1:
        (only,) = tidy["anyOf"]
        return only
    return tidy
