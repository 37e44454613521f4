"""What Notion accepts as properties of a page: their types, names of options, and the limits of texts."""

from collections.abc import Mapping
from typing import Any

__all__ = ["Invalid", "check_properties", "shown_value"]


class Invalid(Exception):
    """Notion's words for a body that it refuses."""


def check_properties(properties: Mapping[str, Any], schema: dict[str, Any]) -> None:
    """Raise `Invalid` as the documentation says; options of select properties are made, those of status are not."""
    for name, value in properties.items():
        if name not in schema:
            raise Invalid(f"{name} is not a property that exists.")
        kind = schema[name]["type"]
        if kind not in value:
            raise Invalid(f"{name} is expected to be {kind}.")
        _CHECKS.get(kind, _check_other)(name, value[kind], schema[name])


def shown_value(value: Mapping[str, Any]) -> Any:
    """What a person reads."""
    kind = next(each for each in value if each != "type")
    inner = value[kind]
    if kind in ("title", "rich_text"):
        return "".join(part["text"]["content"] for part in inner)
    if kind in ("select", "status"):
        return inner and inner["name"]
    if kind == "multi_select":
        return ", ".join(option["name"] for option in inner)
    return inner["start"] if kind == "date" else inner


def _check_text(name: str, parts: Any, _: Mapping[str, Any]) -> None:
    if not isinstance(parts, list) or len(parts) > 100:
        raise Invalid(f"body failed validation: body.properties.{name}.rich_text.length should be <= `100`")
    for part in parts:
        content = part["text"]["content"]
        if (units := len(content.encode("utf-16-le")) // 2) > 2_000:
            where = f"body.properties.{name}.rich_text[0].text.content.length"
            raise Invalid(f"body failed validation: {where} should be <= `2000`, instead was `{units}`.")


def _check_select(name: str, option: Any, column: dict[str, Any]) -> None:
    if option is None:
        return
    if "," in option["name"] or not 0 < len(option["name"]) <= 100:
        raise Invalid(f"body failed validation: invalid select option for {name}: no commas, 1 to 100 characters")
    options = column["select"].setdefault("options", [])
    if option["name"] not in [each["name"] for each in options]:
        options.append({"name": option["name"]})


def _check_status(name: str, option: Any, column: Mapping[str, Any]) -> None:
    if option is None:  # empties it: `status: {...} | null` in the types of the official SDK, for both requests
        return
    names = [each["name"] for each in column["status"].get("options", [])]
    if option["name"] not in names:
        raise Invalid(f'Invalid status option. Status option "{option["name"]}" does not exist for {name}.')


def _check_other(name: str, value: Any, column: Mapping[str, Any]) -> None:
    kind = column["type"]
    if kind not in ("number", "date", "checkbox", "multi_select"):
        raise Invalid(f"{name} of the type {kind} cannot be written.")
    if kind == "number" and not isinstance(value, int | float):
        raise Invalid(f"body failed validation: body.properties.{name}.number should be a number")


_CHECKS = {
    "title": _check_text,
    "rich_text": _check_text,
    "select": _check_select,
    "status": _check_status,
}
