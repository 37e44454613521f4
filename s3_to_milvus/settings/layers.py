"""Where settings come from: layers of raw values, each of which remembers where it found what."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from s3_to_milvus.errors import ConfigError

__all__ = ["CONFIG_FILE", "ENV_FILE", "ORIGINAL_NAMES", "PREFIX", "Layer", "as_variable", "read_layers"]

PREFIX = "S2M_"
CONFIG_FILE = "s3-to-milvus.toml"
ENV_FILE = ".env"
_SIZES_FILE = "chunk_params.txt"
# The original system's variables, and the option each one sets. None of them chooses an adapter: `kind` alone does.
ORIGINAL_NAMES = {
    "UPSTAGE_API_KEY": "parser.upstage.api_key",
    "UPSTAGE_API_URL": "parser.upstage.api_url",
    "OPENAI_API_KEY": "embedder.openai.api_key",
    "MILVUS_URL": "vector_store.milvus.uri",
    "NOTION_TOKEN": "journal.notion.token",
    "NOTION_DATABASE_ID": "journal.notion.database_id",
    "AWS_ACCESS_KEY": "store.s3.access_key_id",
    "AWS_SECRET_KEY": "store.s3.secret_access_key",
}
_WHOLE_ENV = tuple(name for name in ORIGINAL_NAMES if name != "UPSTAGE_API_URL")


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw nested values of one place. ``places`` maps the dotted name of each value to where exactly it stood."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def place_of(self, name: str) -> str | None:
        """Where the value of this dotted name (or one that contains it, or is in it) stood; None: not in this layer."""
        path = name
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return next((place for inner, place in self.places.items() if inner.startswith(f"{name}.")), None)


def as_variable(name: str) -> str:
    """The environment variable that sets a dotted name."""
    return PREFIX + name.upper().replace(".", "__")


def read_layers(arguments: Mapping[str, Any], environ: Mapping[str, str], folder: Path) -> tuple[Layer, ...]:
    """All layers, the strongest first. Arguments are given by dotted name; None means not given."""
    given = {name: value for name, value in arguments.items() if value is not None}
    env_file = folder / ENV_FILE
    env_values = {name: value for name, value in _dotenv(env_file).items() if value is not None}
    return (
        _layer("arguments", {name: ("an argument", value) for name, value in given.items()}),
        _variables("environment", environ, "environment"),
        _variables(_named(env_file), env_values, str(env_file)),
        _original_names(environ, env_values, env_file),
        _toml(folder / CONFIG_FILE),
        *_original_arrangement(env_values, env_file),
    )


def _named(file: Path) -> str:
    return str(file) if file.is_file() else f"{file} (not there)"


def _dotenv(file: Path) -> dict[str, str | None]:
    if not file.is_file():
        return {}
    try:
        return dotenv_values(file)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file} cannot be read: {exc}", hint="Save it as UTF-8 text, or remove it.") from exc


def _variables(name: str, values: Mapping[str, str], place: str) -> Layer:
    """``S2M_PARSER__KIND`` sets ``parser.kind``. An empty variable counts as not set."""
    found = {
        variable[len(PREFIX) :].lower().replace("__", "."): (f"{place} {variable}", _decoded(value))
        for variable, value in values.items()
        if variable.upper().startswith(PREFIX) and value
    }
    return _layer(name, found)


def _original_names(environ: Mapping[str, str], env_values: Mapping[str, str], file: Path) -> Layer:
    found: dict[str, tuple[str, Any]] = {}
    for variable, name in ORIGINAL_NAMES.items():
        for place, values in (("environment", environ), (str(file), env_values)):
            if value := values.get(variable):
                found.setdefault(name, (f"{place} {variable}", value))
    return _layer("the original names", found)


def _original_arrangement(env_values: Mapping[str, str], file: Path) -> list[Layer]:
    """The original's whole ``.env`` is no stray key: it chooses the original's arrangement, unless anything else is."""
    if not all(env_values.get(variable) for variable in _WHOLE_ENV):
        return []
    place = f"{file}, which is the original system's: {', '.join(_WHOLE_ENV)}"
    found: dict[str, tuple[str, Any]] = {"profile": (place, "cloud")}
    sizes = file.with_name(_SIZES_FILE)
    if sizes.is_file():
        found["splitter.recursive.params_file"] = (f"{sizes}, which lies beside {file}", str(sizes))
    return [_layer("the original's whole .env", found)]


def _decoded(value: str) -> Any:
    """Lists and tables are written as JSON; everything else stays text, and is checked by the model."""
    if value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _toml(file: Path) -> Layer:
    if not file.is_file():
        return Layer(_named(file))
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"{file} cannot be read: {exc}", hint="Correct the line that it names.") from exc
    return Layer(_named(file), data, dict.fromkeys(_leaves(data), str(file)))


def _leaves(data: Mapping[str, Any], above: str = "") -> list[str]:
    names: list[str] = []
    for key, value in data.items():
        name = f"{above}{key}"
        names.extend(_leaves(value, f"{name}.") if isinstance(value, dict) and value else [name])
    return names


def _layer(name: str, found: Mapping[str, tuple[str, Any]]) -> Layer:
    """Nest dotted names; a longer name refines the table that a shorter one set."""
    layer = Layer(name)
    for dotted in sorted(found, key=lambda each: each.count(".")):
        place, value = found[dotted]
        *tables, last = dotted.split(".")
        target: Any = layer.data
        for table in tables:
            target = target.setdefault(table, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{dotted} ({place}) is set, but {table} was given a plain value as well.")
        target[last] = value
        names = _leaves(value, f"{dotted}.") if isinstance(value, dict) and value else [dotted]
        layer.places.update(dict.fromkeys(names, place))
    return layer
