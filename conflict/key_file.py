"""`key:` of a table in policies.yaml: which columns make its business key, and how their texts are made comparable."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema

from conflict.case_file import Name
from conflict.phone_regions import REGIONS
from conflict.policy import KeyPart, Normaliser
from tillstream.checked_yaml import Entry, suggestion


def _known_normaliser(given: str) -> str:
    if given in NORMALISERS:
        return given
    word, _, region = given.partition(":")
    if word == Normaliser.PHONE and region:
        meant = _ALSO_CALLED.get(region.upper(), f"phone:{region.upper()}")
        near = f'; did you mean "{meant}"?' if meant in NORMALISERS else "; write its two letters, such as phone:MY"
        raise ValueError(f'"{region}" is not a region{near}')
    plain = ", ".join(name for name in NORMALISERS if ":" not in name)
    near = suggestion(given, NORMALISERS, otherwise=f"; allowed: {plain}, phone:<region>")
    raise ValueError(f'"{given}" is not a normaliser{near}')


NORMALISERS = (
    *(each.value for each in Normaliser if each is not Normaliser.PHONE),
    *(f"{Normaliser.PHONE}:{region}" for region in REGIONS),
)
_ALSO_CALLED = {"CN": Normaliser.PHONE_CN.value, "UK": "phone:GB"}
NormaliserName = Annotated[
    str, AfterValidator(_known_normaliser), WithJsonSchema({"type": "string", "enum": list(NORMALISERS)})
]


def _normaliser_mapping(given: Any) -> Any:
    return {"as": given} if isinstance(given, str) else given


def _key_mapping(given: Any) -> Any:
    """[sku] is short for {sku: exact}."""
    if not isinstance(given, list):
        return given
    if not all(isinstance(column, str) for column in given) or len(set(given)) < len(given):
        raise ValueError("must be a list of different columns, such as [sku], or {column: normaliser}")
    return dict.fromkeys(given, Normaliser.EXACT.value)


class KeyPartEntry(Entry):
    normaliser: NormaliserName = Field(alias="as", description="How the column's text is made comparable.")
    stop: tuple[Name, ...] = Field(default=(), description="Values that identify nothing, such as 00000000.")

    def value(self, column: str) -> KeyPart:
        word, _, region = self.normaliser.partition(":")
        return KeyPart(column=column, normaliser=Normaliser(word), region=region, stop=frozenset(self.stop))


KeyForm = dict[str, NormaliserName | KeyPartEntry] | list[str]
KeyPartForm = Annotated[
    KeyPartEntry, BeforeValidator(_normaliser_mapping, json_schema_input_type=NormaliserName | KeyPartEntry)
]
KeyMapping = Annotated[
    dict[Name, KeyPartForm],
    Field(min_length=1),
    BeforeValidator(_key_mapping, json_schema_input_type=KeyForm),
]
_KEY: TypeAdapter[dict[str, KeyPartEntry]] = TypeAdapter(KeyMapping)


def key_parts(data: Any) -> dict[tuple[str, str], KeyPart]:
    """By (table, column), as far as the raw data of a policies document says them rightly."""
    tables = data.get("tables") if isinstance(data, dict) else None
    found: dict[tuple[str, str], KeyPart] = {}
    for table, said in tables.items() if isinstance(tables, dict) else ():
        try:
            parts = _KEY.validate_python(said["key"])
        except (ValidationError, KeyError, TypeError):
            continue
        found |= {(table, column): part.value(column) for column, part in parts.items()}
    return found
