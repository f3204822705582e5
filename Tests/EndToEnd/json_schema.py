"""As much of JSON Schema as docs/openapi.json uses; a keyword that is not known here fails."""

KNOWN = {
    "type", "description", "enum", "minimum", "maximum", "properties", "required", "additionalProperties",
    "propertyNames", "items", "$ref",
}
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "null": lambda v: v is None,
}


def check(value, schema, document, place="answer"):
    """Fails where `value` is not what `schema`, a part of `document`, says."""
    assert set(schema) <= KNOWN, f"{place}: {set(schema) - KNOWN}"
    if "$ref" in schema:
        return check(value, resolve(schema["$ref"], document), document, place)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(TYPES[name](value) for name in types), f"{place} is {value!r}, not {types}"
    if "enum" in schema:
        assert value in schema["enum"], f"{place} is {value!r}"
    if isinstance(value, int) and not isinstance(value, bool):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), f"{place} is {value}"
    if isinstance(value, dict):
        check_members(value, schema, document, place)
    if isinstance(value, list):
        for index, element in enumerate(value):
            check(element, schema["items"], document, f"{place}[{index}]")


def check_members(value, schema, document, place):
    missing = set(schema.get("required", ())) - set(value)
    assert not missing, f"{place} lacks {missing}"
    for name, member in value.items():
        if "propertyNames" in schema:
            assert name in schema["propertyNames"]["enum"], f"{place}: {name}"
        known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        assert known, f"{place} has {name}, which is not documented"
        check(member, known, document, f"{place}.{name}")


def resolve(reference, document):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document
