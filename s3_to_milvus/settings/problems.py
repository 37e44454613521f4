"""Words for wrong settings: which one, its value (unless secret), where it stood, and what was possible."""

import difflib
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from s3_to_milvus.settings.explain import HIDDEN, is_secret_name, shown
from s3_to_milvus.settings.layers import as_variable

__all__ = ["describe", "nearest"]

_UNKNOWN = ("extra_forbidden", "dict_type")


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say about a name that is not known: the nearest known one, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


def describe(
    errors: Sequence[ErrorDetails],
    model: type[BaseModel],
    places_of: Callable[[str], Sequence[str]],
    above: str = "",
) -> list[str]:
    """One line for each wrong value of ``model``, whose fields stand below the dotted name ``above``."""
    lines = [_line(error, model, places_of, f"{above}." if above else "") for error in errors]
    return list(dict.fromkeys(lines))


def _line(error: ErrorDetails, model: type[BaseModel], places_of: Callable[[str], Sequence[str]], above: str) -> str:
    name = above + ".".join(str(part) for part in error["loc"])
    where = ", ".join(dict.fromkeys(places_of(name))) or f"set it with {as_variable(name)}"
    if error["type"] in _UNKNOWN and (fields := _fields_beside(model, error["loc"])) is not None:
        return f"{name} ({where}): unknown; {nearest(str(error['loc'][-1]), fields)}"
    if error["type"] == "model_type":
        return f"{name} ({where}): is a table of settings, such as {name}.kind or {as_variable(name)}__KIND"
    value = "" if error["type"] == "missing" else f" = {_quoted(name, error['input'])}"
    return f"{name}{value} ({where}): {error['msg']}"


def _quoted(name: str, value: object) -> str:
    is_secret = is_secret_name(name) or (isinstance(value, str) and "password" in value)
    return HIDDEN if is_secret else repr(shown(name, value))


def _fields_beside(model: type[BaseModel], location: Sequence[str | int]) -> list[str] | None:
    """Names that were possible where the last one stands; None where it is one of them."""
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return None if location[-1] in model.model_fields else list(model.model_fields)


def _model_of(annotation: object) -> type[BaseModel] | None:
    """The model in a field's type: the type itself, or what a tuple holds."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
