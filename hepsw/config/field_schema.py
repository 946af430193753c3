"""The field catalogue as JSON schema: match blocks, `set`, and what a test gives.

Every field of the catalogue is a property, nested as TOML nests dotted keys, with its sentence of
the manual and the forms that its kind allows. Where names are free (headers, JSON paths, maps,
chunks of an operator's own) their shape is all that can be said: whether a name leads anywhere is
for `hepsw check` to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.config.cases import CONTEXT, DERIVED, PACKETS
from hepsw.config.match import BLOCK_WORDS, OPERATORS
from hepsw.config.models.block import DURATION
from hepsw.fields import CATALOGUE, GEO, GROUPS, Field, Kind, geo_field, header_field, json_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Schema = dict[str, Any]

OPERATOR_DOCS: Final = {
    "prefix": "The text begins so.",
    "suffix": "The text ends so.",
    "contains": "The text has this somewhere.",
    "glob": "The whole text is of this shape: `*`, `?`, `[a-z]`, `[!a-z]`.",
    "re": "This RE2 expression is found anywhere in the text.",
    "hex": "The octets are these.",
    "ge": "The number is at least this.",
    "gt": "The number is more than this.",
    "le": "The number is at most this.",
    "lt": "The number is less than this.",
    "in": 'The value is one of these, or of the set `"@name"`.',
    "eq": "The value is exactly this, whatever it looks like.",
    "not": "The packet has the field, and no value of it is this (or passes these operators).",
    "exists": "Whether the packet has the field.",
}

GROUP_DOCS: Final = {
    "sip": "What a SIP message says.",
    "sip.header": "Every value of the header of that name.",
    "rtcp": "What an RTCP report says: its worst block.",
    "vq": "What a vq-rtcpxr report says.",
    "json": "What a JSON payload has at a dotted path; the path stands in quotes.",
    "map": "What `[maps.x]` gives for the packet.",
    "geo": "What the databases of `[geo]` say of an address.",
    "geo.src": "Of `src_ip`.",
    "geo.dst": "Of `dst_ip`.",
}

_CHUNK: Final = "A chunk of your own, named in `[chunks]`."
_RAW_CHUNK: Final = "A chunk by vendor and type."
_QUOTED: Final = "A field whose name stands in quotes as a whole."

_OWN: Final = "[a-z][a-z0-9_]*"
_RAW: Final = "(0x[0-9A-Fa-f]{1,4}|[0-9]{1,5}):(0x[0-9A-Fa-f]{1,4}|[0-9]{1,5})"
_KNOWN: Final = (*CATALOGUE, *GEO)
_DOTTED: Final = "|".join(
    [
        *(name.replace(".", r"\.") for name in _KNOWN if "." in name),
        *(rf"{family}\..+" for family in (r"sip\.header", "json", "map")),
    ]
)
_HEADER: Final = header_field("sip.header.X")
_JSON: Final = json_field("json.x")
_FIELDS: Final = [*CATALOGUE.values(), *(geo_field(name, None) for name in GEO)]


# --- values --------------------------------------------------------------------------------------


def text(title: str, pattern: str = "", **more: Any) -> Schema:
    """Return the schema of a text, with the pattern that it has."""
    return {"type": "string", "title": title, **({"pattern": pattern} if pattern else {}), **more}


HEX_TEXT: Final = text("hexadecimal", r"^\s*([0-9A-Fa-f]{2}\s*)*$")
HEX: Final[Schema] = {
    "type": "object",
    "title": "octets",
    "properties": {"hex": {**HEX_TEXT, "description": "The octets, in hexadecimal."}},
    "required": ["hex"],
    "additionalProperties": False,
}
_SET: Final = text("a set", "^@.")
_TEMPLATE: Final = text("a template", r"\{")
_NUMBER: Final = text("a number as a text", "^[0-9]{1,20}$")
_BOOLEAN: Final = {"type": "boolean", "title": "true or false"}


def _literals(field: Field | None) -> list[Schema]:
    """Return the forms of one value that means itself; of any kind without a field."""
    if field is None:
        return [text("a text"), {"type": "integer", "title": "a number"}]
    match field.kind:
        case Kind.NUMBER:
            number = {"type": "integer", "title": "a number"}
            bounded = {**number, "minimum": 0, "maximum": field.largest}
            return [*_names(field), bounded, _NUMBER]
        case Kind.DECIMAL:
            return [
                {"type": "number", "title": "a number"},
                text("a number as a text", r"^-?[0-9]{1,20}(\.[0-9]{1,20})?$"),
            ]
        case Kind.IP:
            return [text("an address", r"^[0-9A-Fa-f:.]+$")]
        case Kind.TIME:
            return [
                text("a time (RFC 3339)", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$"),
                {"type": "integer", "title": "microseconds since the epoch", "minimum": 0},
                text("microseconds since the epoch, as a text", "^[0-9]{1,19}$"),
            ]
        case Kind.MAC:
            return [
                text("a MAC address", "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5,7}$"),
                {"type": "integer", "title": "the address as a number", "minimum": 0},
            ]
        case Kind.JSON:
            return [text("a text"), {"type": "number", "title": "a number"}, _BOOLEAN]
        case _:
            return (
                [{"enum": [*field.words], "title": "a word"}] if field.words else [text("a text")]
            )


def _names(field: Field) -> list[Schema]:
    """Return the names of numbers: those that are built in are what an editor offers."""
    if not field.names:
        return []
    any_case = "^[A-Za-z][A-Za-z0-9_]{0,31}$"
    return [{"enum": [*field.names], "title": "a name"}, text("a name, in any case", any_case)]


def _plain(field: Field | None) -> list[Schema]:
    """Return the forms of one value in a match block: it may be a range, a network or a set."""
    kind = None if field is None else field.kind
    decimal = r"[0-9]{1,20}(\.[0-9]{1,20})?"
    ranges = {
        Kind.NUMBER: [
            text("a range", "^[0-9]{1,20}-[0-9]{0,20}$", examples=["5060-5090", "1024-"])
        ],
        Kind.DECIMAL: [text("a range", rf"^{decimal}-({decimal})?$", examples=["0.5-2.5", "5-"])],
        Kind.IP: [text("a network", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$", examples=["10.0.0.0/8"])],
    }
    return [*_literals(field), *(ranges.get(kind, []) if kind else []), _SET]


def _operators(field: Field | None, *, inner: bool) -> Schema:
    """Return the table of operators that can look at a field.

    Args:
        field: any kind without one.
        inner: they look at one value, within `not` or a list.
    """
    properties = {
        name: {"title": name, "description": OPERATOR_DOCS[name], **_operand(field, name)}
        for name, kinds in OPERATORS.items()
        if (field is None or field.kind in kinds) and not (inner and name in {"not", "exists"})
    }
    return {
        "type": "object",
        "title": "operators",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
    }


def _operand(field: Field | None, operator: str) -> Schema:
    match operator:
        case "prefix" | "suffix" | "contains":
            return {"anyOf": [text("a text"), HEX]}
        case "glob" | "re":
            return {"type": "string"}
        case "hex":
            return {"type": "string", "pattern": HEX_TEXT["pattern"]}
        case "ge" | "gt" | "le" | "lt":
            json = field is not None and field.kind is Kind.JSON
            return {"type": "number"} if json else {"anyOf": [_ref("exact", field)]}
        case "in":
            return {"anyOf": [_ref("list", field), _SET]}
        case "eq":
            return {"anyOf": [_ref("exact", field)]}
        case "not":
            return {"anyOf": [*_plain(field), _ref("list", field), _ref("inner", field)]}
        case _:
            return {"type": "boolean"}


def _ref(use: str, field: Field | None) -> Schema:
    return {"$ref": f"#/$defs/{use}-{_shape(field)}"}


def _list(field: Field | None) -> Schema:
    items = [*_plain(field), _ref("inner", field)]
    return {"type": "array", "title": "any of these", "items": {"anyOf": items}, "minItems": 1}


def _condition(field: Field | None) -> list[Schema]:
    return [*_plain(field), _ref("list", field), _operators(field, inner=False)]


def _set_to(field: Field | None) -> list[Schema]:
    if field is None or field.kind in {Kind.TEXT, Kind.OCTETS}:
        whole = [] if field is not None else [{"type": "integer", "title": "a number"}]
        return [text("a text, or a template", minLength=1), *whole, HEX]
    return [*_literals(field), _TEMPLATE]


def _given(field: Field | None) -> list[Schema]:
    octets = field is None or field.kind in {Kind.TEXT, Kind.OCTETS}
    one = [*_literals(field), *([HEX] if octets else [])]
    if field is _HEADER:
        many = {"type": "array", "title": "several headers", "items": {"anyOf": one}, "minItems": 1}
        return [*one, many]
    return one


# --- blocks --------------------------------------------------------------------------------------


class FieldBlocks:
    """Makes the blocks that are keyed by fields; what fields have in common stands in `defs`."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}
        self.defs["FieldName"] = {
            "title": "a field",
            "description": "The name of a field.",
            "anyOf": [
                {"enum": [*_KNOWN], "title": "a field"},
                text("a field of a free name", f"^({_OWN}|{_RAW}|{_DOTTED})$"),
            ],
        }
        self.defs["Match"] = self._match()
        self.defs["Set"] = self._sets()
        self.defs["Given"] = self._packet()

    def _forms(self, use: str, make: Callable[[Field | None], list[Schema]]) -> _Forms:
        return _Forms(self.defs, use, make)

    def _match(self) -> Schema:
        forms = self._forms("condition", _condition)
        block = {"$ref": "#/$defs/Match"}
        blocks = {"type": "array", "items": block, "minItems": 1}
        words: dict[str, Schema] = {
            "any": {"description": "At least one of these match blocks holds.", **blocks},
            "all": {"description": "All of these match blocks hold.", **blocks},
            "not": {
                "description": "This match block does not hold: plain negation.",
                "minProperties": 1,
                "allOf": [block],
            },
            "is": {
                "description": "Matchers that hold: `[matchers]` by name.",
                "anyOf": [
                    text("a matcher"),
                    {
                        "type": "array",
                        "title": "matchers",
                        "items": text("a matcher"),
                        "minItems": 1,
                    },
                ],
            },
        }
        assert words.keys() == {*BLOCK_WORDS}  # noqa: S101 - a word that is new wants its sentence
        return {
            "title": "a match block",
            "description": "Conditions, all of which must hold.",
            "type": "object",
            "properties": {
                **{word: {"title": word, **schema} for word, schema in words.items()},
                **nested({field.name: forms.of(field) for field in _FIELDS}, _families(forms)),
            },
            "patternProperties": {
                f"^{_RAW}$": forms.octets(),
                f"^({_DOTTED})$": forms.free(_QUOTED),
            },
            "additionalProperties": forms.free(_CHUNK),
            "propertyNames": {"pattern": f"^({_OWN}|{_RAW}|{_DOTTED})$"},
        }

    def _sets(self) -> Schema:
        forms = self._forms("value", _set_to)
        settable = [field for field in CATALOGUE.values() if field.edit is not None]
        names = {field.name for field in settable}
        return {
            "title": "chunks to write",
            "description": "A value or a template for each chunk.",
            "type": "object",
            "properties": nested({field.name: forms.of(field) for field in settable}, {}),
            "patternProperties": {f"^{_RAW}$": forms.octets()},
            "additionalProperties": forms.free(_CHUNK),
            "propertyNames": {
                "pattern": f"^({_OWN}|{_RAW})$",
                "not": {"enum": sorted({*GROUPS, *CATALOGUE} - names)},
            },
        }

    def _packet(self) -> Schema:
        forms = self._forms("given", _given)
        given = [field for field in _FIELDS if field.name not in DERIVED]
        families = {name: forms for name, forms in _families(forms).items() if name != "map"}
        own = {
            "hex": {**HEX_TEXT, "description": "The whole HEP packet, in hexadecimal."},
            "pcap": text("a file", "", description="The packet is in this capture."),
            "frame": {
                "type": "integer",
                "description": "Which frame of the capture it is [1].",
                "minimum": 1,
            },
            "times": {
                "type": "integer",
                "description": "So often the packet comes, all at once [1].",
                "minimum": 1,
                "maximum": PACKETS,
            },
            "at": {
                "description": "When the packet comes, from the first one on [0s].",
                "anyOf": [DURATION, {"const": 0}],
            },
        }
        context = ", ".join(f"`{name}*`" if name[-1] in "_." else f"`{name}`" for name in CONTEXT)
        packet = {
            "title": "a packet",
            "description": "Fields of a packet; beside a whole one, given by `hex` or `pcap`, only "
            f"{context}.",
            "type": "object",
            "properties": {
                **{name: {**schema, "title": name} for name, schema in own.items()},
                **nested({field.name: forms.of(field) for field in given}, families),
            },
            "patternProperties": {
                f"^{_RAW}$": forms.octets(),
                f"^({_DOTTED})$": forms.free(_QUOTED),
            },
            "additionalProperties": forms.free(_CHUNK),
            "propertyNames": {
                "pattern": f"^({_OWN}|{_RAW}|{_DOTTED})$",
                "not": {"enum": [*DERIVED, "map"]},
            },
        }
        self.defs["Packet"] = packet
        one = {"$ref": "#/$defs/Packet"}
        several = {
            "type": "array",
            "title": "packets",
            "items": one,
            "minItems": 1,
            "maxItems": PACKETS,
        }
        return {
            "title": "packets",
            "description": "One packet, or several in the order they come in.",
            "anyOf": [one, several],
        }


class _Forms:
    """The forms of values for one use, each shape of them once in the definitions."""

    def __init__(
        self,
        defs: dict[str, Schema],
        use: str,
        make: Callable[[Field | None], list[Schema]],
    ) -> None:
        self._defs = defs
        self._use = use
        self._make = make

    def of(self, field: Field) -> Schema:
        """Return what may be written for a field."""
        return self._named(field.name, field.doc, field)

    def free(self, doc: str) -> Schema:
        """Return what may be written for a field whose kind only the configuration knows."""
        return self._named("a field", doc, None)

    def octets(self) -> Schema:
        """Return what may be written for a chunk without a name."""
        return self._named("a chunk", _RAW_CHUNK, CATALOGUE["payload"])

    def family(self, doc: str, field: Field | None) -> Schema:
        """Return what may be written for each member of a family of fields."""
        return self._named("a field", doc, field)

    def _named(self, title: str, doc: str, field: Field | None) -> Schema:
        name = f"{self._use}-{_shape(field)}"
        if name not in self._defs:
            self._defs[name] = {"anyOf": self._make(field)}
            if self._make is _condition:
                # Lists may stand in operators, and operators in lists.
                self._defs[f"exact-{_shape(field)}"] = {"anyOf": _literals(field)}
                self._defs[f"list-{_shape(field)}"] = _list(field)
                self._defs[f"inner-{_shape(field)}"] = _operators(field, inner=True)
        # Not a reference with a title beside it: editors that know older drafts would drop those.
        return {"title": title, "description": doc, "anyOf": [{"$ref": f"#/$defs/{name}"}]}


def _shape(field: Field | None) -> str:
    """Return what tells fields apart for which other forms may be written."""
    if field is None:
        return "any"
    if field.names or field.words:
        return field.name.replace(".", "-")
    if field is _HEADER:
        return "header"
    return f"{field.kind.value}-{field.largest}" if field.kind is Kind.NUMBER else field.kind.value


def _families(forms: _Forms) -> dict[str, Schema]:
    """Return the families whose members have any name."""
    return {
        "sip.header": forms.family(GROUP_DOCS["sip.header"], _HEADER),
        "json": forms.family(GROUP_DOCS["json"], _JSON),
        "map": forms.family(GROUP_DOCS["map"], None),
    }


def nested(entries: Mapping[str, Schema], families: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return properties nested as TOML nests dotted keys.

    Args:
        entries: what may be written for each name.
        families: what may be written for any name behind these.
    """
    root: dict[str, Schema] = {}
    for name, schema in entries.items():
        *groups, last = name.split(".")
        _group(root, groups)[last] = schema
    for name, schema in families.items():
        _group(root, name.split("."))
        *groups, last = name.split(".")
        _group(root, groups)[last]["additionalProperties"] = schema
    return root


def _group(properties: dict[str, Schema], steps: Iterable[str]) -> dict[str, Schema]:
    """Return the properties of a group, which is made where it is not there yet."""
    path = ""
    for step in steps:
        path = f"{path}.{step}".removeprefix(".")
        group = properties.setdefault(
            step,
            {
                "title": path,
                "description": GROUP_DOCS[path],
                "type": "object",
                "properties": {},
                "additionalProperties": False,
                "minProperties": 1,
            },
        )
        properties = group["properties"]
    return properties
