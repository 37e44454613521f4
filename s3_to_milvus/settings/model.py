"""What may be set. Adapter options stay raw tables here: the adapter's own `Options` checks them when it is chosen."""

import re
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from s3_to_milvus.domain.routing import Route
from s3_to_milvus.settings.layers import Layer

__all__ = [
    "LAYERS",
    "AdapterSettings",
    "AdaptersSettings",
    "AuthSettings",
    "EngineSettings",
    "LogSettings",
    "ParsingSettings",
    "RouteSettings",
    "Settings",
    "TableSettings",
]

# What `load` read; empty for `Settings(...)` made by hand, which therefore never looks at the environment.
LAYERS: ContextVar[tuple[Layer, ...]] = ContextVar("LAYERS", default=())

_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
_TABLES = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)


def _one_or_many(value: object) -> object:
    """A single text counts as a list of one."""
    return (value,) if isinstance(value, str | Path) else value


def _names(value: object) -> object:
    """``"a, b"`` counts as a list, ``"none"`` as an empty one."""
    if not isinstance(value, str):
        return value
    return () if value.strip() == "none" else tuple(name.strip() for name in value.split(","))


def _topic(value: str) -> str:
    if _TOPIC.fullmatch(value) is None:
        raise ValueError("the ARN of a topic of SNS is expected: arn:aws:sns:us-east-1:123456789012:name")
    return value


_TOPIC = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:[a-z]{2}(-[a-z]+)+-[0-9]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
_Topics = Annotated[tuple[Annotated[str, AfterValidator(_topic)], ...], BeforeValidator(_names)]


def _secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().strip()) < _SECRET_CHARS:
        raise ValueError(f"a secret has at least {_SECRET_CHARS} characters; `openssl rand -hex 32` makes one")
    return value


_SECRET_CHARS = 16
_Passwords = Annotated[tuple[SecretStr, ...], BeforeValidator(_one_or_many)]
_Secrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_secret)], ...], BeforeValidator(_names)]


def _absolute(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as exc:
        raise ValueError(f"has no home folder: {exc}") from exc


def _user_data_dir() -> Path:
    import platformdirs

    return platformdirs.user_data_path("s3-to-milvus", appauthor=False)


class TableSettings(BaseModel):
    """Tables of options, each named after the adapter that reads it."""

    model_config = _TABLES
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    def options(self, kind: str) -> dict[str, Any]:
        """The raw options of one adapter; empty where none were set."""
        return dict(self.tables.get(kind, {}))

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """All tables that were set, by the adapter's name."""
        return self.__pydantic_extra__ or {}


class AdapterSettings(TableSettings):
    """One adapter, chosen by ``kind``, with its options in the table of the same name."""

    kind: str
    """Which adapter is used."""


class AdaptersSettings(TableSettings):
    """Several adapters, the first that fits is used; options in tables named after them."""

    kind: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """Which adapters are used, in this order. `none`: no one."""


class ParsingSettings(BaseModel):
    """Limits of the child processes that parse documents."""

    model_config = _STRICT

    timeout_s: float = Field(default=120.0, gt=0)
    """Longest time for one document."""
    memory_mb: int = Field(default=2_048, ge=512)
    """Most address space for one child process; a bare child has some hundred MB of it."""
    workers: int = Field(default=2, ge=1, le=64)
    """How many documents are parsed at the same time."""
    max_pages: int = Field(default=5_000, ge=1)
    """Most pages of one document."""
    max_unpacked_mb: int = Field(default=1_024, ge=1)
    """To how much a document, archive or e-mail may unpack, by what it declares itself."""
    max_members: int = Field(default=20_000, ge=1)
    """Most files inside one document or archive."""
    max_text_chars: int = Field(default=500_000_000, ge=1)
    """Most text of one document."""
    max_upload_mb: int = Field(default=100, ge=1, le=4_096)
    """Most of one file that is sent to `POST /upload_parse_document`."""
    max_uploads_mb: int = Field(default=512, ge=1, le=65_536)
    """Most of all files together that are sent there and not answered yet; more are told to come again."""
    passwords: _Passwords = ()
    """Tried for every file that asks for a password, after those of its route."""


class EngineSettings(BaseModel):
    """Sizes and times of the engine."""

    model_config = _STRICT

    workers: int = Field(default=4, ge=1, le=256)
    """How many objects are worked on at the same time."""
    claim_batch: int = Field(default=64, ge=1, le=10_000)
    """How many objects a worker takes from the queue at once."""
    load_rows: int = Field(default=1_000, ge=1, le=10_000)
    """Most rows in one insert request to Milvus."""
    lease_s: float = Field(default=60.0, ge=1)
    """How long an object belongs to a worker that does not answer any more."""
    recheck_s: float = Field(default=300.0, ge=0)
    """When an object is looked at once more after its worker died."""
    gate_mb: int = Field(default=64, ge=1)
    """Most bytes of documents held in memory at the same time."""
    max_object_mb: int = Field(default=4_096, ge=1)
    """Larger objects are refused with `document_too_large`."""
    max_attempts: int = Field(default=3, ge=1)
    """How often a file that fails unexpectedly is tried."""
    crashed_retry_s: float = Field(default=7_200.0, ge=0)
    """When a file is tried again whose parsing process died or took too long; doubled each time, up to 32 times; 0:
    only when asked."""
    keep_rows_of_failed: bool = False
    """Whether the rows of the version before stay searchable when a new version cannot be read."""
    scan_interval_s: float = Field(default=300.0, ge=0)
    """Time between full comparisons of the source with what is indexed; 0: only when asked."""
    guard_objects: int = Field(default=50, ge=0)
    """A scan that would remove more objects than this asks a person first, if they also exceed the share."""
    guard_share: float = Field(default=0.2, ge=0, le=1)
    """The share of all indexed objects for the same question."""


class RouteSettings(BaseModel):
    """Objects of a bucket below a prefix: into which collection, or not at all."""

    model_config = _STRICT

    bucket: str = ""
    """Only objects of this bucket; empty: of any."""
    prefix: str = ""
    """Only keys that begin with this."""
    collection: str = ""
    """The collection for all of them; empty: one for each top-level folder below the prefix."""
    ignored: bool = False
    """Leave these objects out."""
    needs_folder: bool = False
    """Leave those out that lie in no folder below the prefix."""
    parsers: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """What reads these documents, in this order; empty: as `parser.kind` says."""
    passwords: _Passwords = ()
    """Tried for files of this route that ask for a password."""


class AuthSettings(BaseModel):
    """Who may use the service."""

    model_config = _STRICT

    mode: Literal["auto", "required", "none"] = "auto"
    """`auto`: asks for a key unless a request comes from this machine, and not by a proxy. `none`: never asks."""
    event_secrets: _Secrets = ()
    """Shared secrets that sign events (`X-S2M-Signature`); two at a time, so that they can be changed one by one."""
    replay_window_s: int = Field(default=300, ge=10)
    """How old a signed event may be."""
    sns_topics: _Topics = ()
    """Topics of SNS, by ARN, whose messages need no key at `POST /events`: the signature of SNS is checked instead."""


class LogSettings(BaseModel):
    """What the log says, and how."""

    model_config = _STRICT

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text for a terminal, JSON elsewhere."""


class _LayerSource(PydanticBaseSettingsSource):
    """A layer in the words of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer
        self.__name__ = layer.name

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._layer.data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._layer.data


class Settings(BaseSettings):
    """Everything that can be set. Use `load` to read it from outside; made by hand it reads nothing."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, nested_model_default_partial_update=True
    )

    profile: Literal["local", "cloud"] = "local"
    """`cloud`: Upstage, OpenAI and the collections of the original system, unless other settings say otherwise."""
    data_dir: Annotated[Path, BeforeValidator(_absolute)] = Field(default_factory=_user_data_dir)
    """The folder of the ledger and of Milvus Lite; without a setting, the platform's folder for user data."""
    source: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = ()
    """What is mirrored: folders, `s3://bucket/prefix`, or `s3://*`: every bucket that an event names."""
    host: str = "127.0.0.1"
    """The address the service listens on."""
    port: int = Field(default=8510, ge=0, le=65_535)
    """The port the service listens on; 0: any free one."""
    max_connections: int = Field(default=1_000, ge=8, le=32_768)
    """Most connections at the same time; never more than half of the files that the process may open."""
    store: TableSettings = TableSettings()
    """Options of the object stores; which one is used, the source's address says."""
    events: AdaptersSettings = AdaptersSettings(kind=("watch",))
    """What tells about changes between two scans."""
    parsing: ParsingSettings = ParsingSettings()
    parser: AdaptersSettings = AdaptersSettings(
        kind=("text", "html", "pdf", "office", "opendocument", "rtf", "hwp", "data", "book", "mail", "ocr")
    )
    """What reads documents."""
    splitter: AdapterSettings = AdapterSettings(kind="blocks")
    """What cuts documents into chunks."""
    embedder: AdapterSettings = AdapterSettings(kind="local")
    """What turns chunks into vectors."""
    vector_store: AdapterSettings = AdapterSettings(kind="milvus")
    """Where rows are kept and searched."""
    ledger: AdapterSettings = AdapterSettings(kind="sqlite")
    """The durable memory and queue."""
    journal: AdapterSettings = AdapterSettings(kind="log")
    """The log that people read."""
    routes: tuple[RouteSettings, ...] = ()
    """Which objects go where: the longest matching prefix wins; what none matches goes to its folder's collection."""
    engine: EngineSettings = EngineSettings()
    auth: AuthSettings = AuthSettings()
    log: LogSettings = LogSettings()

    _layers: tuple[Layer, ...] = PrivateAttr(default=())

    def places_of(self, name: str) -> list[str]:
        """Every place that sets this dotted name, the one in force first; empty: the default holds."""
        return [place for layer in self._layers if (place := layer.place_of(name)) is not None]

    def domain_routes(self) -> tuple[Route, ...]:
        """The routes as the engine takes them; the last one catches whatever the others leave."""
        return tuple(self._domain_route(each) for each in (*self.routes, RouteSettings()))

    def _domain_route(self, route: RouteSettings) -> Route:
        passwords = dict.fromkeys(each.get_secret_value() for each in (*route.passwords, *self.parsing.passwords))
        return Route(
            bucket=route.bucket,
            prefix=route.prefix,
            collection=route.collection,
            is_ignored=route.ignored,
            needs_folder=route.needs_folder,
            parsers=route.parsers or self.parser.kind,
            passwords=tuple(passwords),
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the layers that `load` read; never pydantic's own readers, which cannot say where from."""
        return (init_settings, *(_LayerSource(settings_cls, layer) for layer in LAYERS.get()))
