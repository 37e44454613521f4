"""The registry: what there is, what is loaded when, and what is said about a plug-in that is broken."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from s3_to_milvus import registry
from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings import Settings, is_secret_name, load

BUILT_IN = [(port, kind) for port in registry.PORTS for kind in registry.kinds(port)]

PLUGIN = """
from pydantic import BaseModel, ConfigDict, SecretStr

class EchoJournal:
    kind = "echo"
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        loudness: int = 1
        api_key: SecretStr = SecretStr("")
    def __init__(self, options): self.options = options

class Quiet:
    kind = "quiet"

not_a_class = 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else, installed: two adapters that work, and four that do not."""
    (tmp_path / "echo_plugin.py").write_text(PLUGIN)
    info = tmp_path / "echo_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[s3_to_milvus.journal]\n"
        "echo = echo_plugin:EchoJournal\n"
        "quiet = echo_plugin:Quiet\n"
        "log = echo_plugin:EchoJournal\n"
        "number = echo_plugin:not_a_class\n"
        "[s3_to_milvus.parser]\n"
        "gone = no_such_package:Parser\n"
        "typo = echo_plugin:Ecko\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "echo_plugin", raising=False)


@pytest.mark.parametrize(("port", "kind"), BUILT_IN)
def test_every_built_in_adapter_is_there(port: str, kind: str) -> None:
    adapter = registry.load(port, kind)
    assert adapter.kind == kind


@pytest.mark.parametrize(("port", "kind"), BUILT_IN)
def test_secrets_of_adapters_have_names_that_are_hidden(port: str, kind: str) -> None:
    options: type[BaseModel] | None = getattr(registry.load(port, kind), "Options", None)
    for name, field in options.model_fields.items() if options else ():
        is_secret = any(secret.__name__ in str(field.annotation) for secret in (SecretStr, SecretBytes))
        assert not is_secret or is_secret_name(name)


def test_nothing_is_imported_before_it_is_chosen() -> None:
    code = (
        "import sys; from s3_to_milvus import registry; from s3_to_milvus.settings import Settings;"
        "registry.check(Settings()); print(*sys.modules, sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"boto3", "lxml", "numpy", "onnxruntime", "pymilvus", "s3_to_milvus.adapters"}
    assert not set(run.stdout.split()) & heavy


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"embedder\.kind = 'xyz': unknown; known: hash, local"):
        registry.load("embedder", "xyz")
    with pytest.raises(ConfigError, match=r"store\.kind = 's33': unknown; did you mean s3\?"):
        registry.load("object_store", "s33")


def test_check_names_unknown_kinds_and_tables_and_where_they_stood(tmp_path: Path) -> None:
    (tmp_path / "s3-to-milvus.toml").write_text("[parser.pfd]\nx = 1\n[splitter]\nkind = 'block'\n")
    with pytest.raises(ConfigError) as caught:
        registry.check(load(environ={"S2M_STORE__S33__X": "1"}, folder=tmp_path))
    file = tmp_path / "s3-to-milvus.toml"
    assert f"splitter.kind = 'block' ({file}): unknown; did you mean blocks?" in caught.value.message
    assert f"parser.pfd ({file}): unknown; did you mean pdf?" in caught.value.message
    assert "store.s33 (environment S2M_STORE__S33__X): unknown; did you mean s3?" in caught.value.message


def test_original_names_may_name_adapters_that_are_not_there(tmp_path: Path) -> None:
    registry.check(load(environ={"UPSTAGE_API_KEY": "x", "NOTION_TOKEN": "y"}, folder=tmp_path))


def test_in_use_follows_the_settings() -> None:
    used = registry.in_use(Settings.model_validate({"parser": {"kind": "text"}, "events": {"kind": "none"}}))
    assert used == [
        ("parser", "text"),
        ("splitter", "blocks"),
        ("embedder", "local"),
        ("vector_store", "milvus"),
        ("ledger", "sqlite"),
        ("journal", "log"),
    ]


@pytest.mark.usefixtures("plugin")
def test_a_plugin_is_found_chosen_and_given_its_options(tmp_path: Path) -> None:
    assert registry.kinds("journal") == ["apprise", "log", "notion", "slack", "webhook", "echo", "number", "quiet"]
    environ = {"S2M_JOURNAL__KIND": "echo", "S2M_JOURNAL__ECHO__LOUDNESS": "11"}
    settings = load(environ=environ, folder=tmp_path)
    registry.check(settings)
    options = registry.options(settings, "journal", "echo")
    assert options.loudness == 11
    assert registry.target("journal", "echo") == "echo_plugin:EchoJournal"
    adapter: Any = registry.load("journal", "echo")(options)
    assert adapter.kind == "echo"


@pytest.mark.usefixtures("plugin")
def test_wrong_options_are_named(tmp_path: Path) -> None:
    environ = {
        "S2M_JOURNAL__ECHO__LOUDNES": "1",
        "S2M_JOURNAL__ECHO__LOUDNESS": "loud",
        "S2M_JOURNAL__ECHO__API_KEY": '["hunter2"]',
        "S2M_JOURNAL__QUIET__X": "1",
    }
    settings = load(environ=environ, folder=tmp_path)
    with pytest.raises(ConfigError) as caught:
        registry.options(settings, "journal", "echo")
    message = caught.value.message
    assert "journal.echo.loudnes (environment S2M_JOURNAL__ECHO__LOUDNES): unknown; did you mean loudness?" in message
    assert "journal.echo.loudness = 'loud' (environment S2M_JOURNAL__ECHO__LOUDNESS): Input should be" in message
    assert "hunter2" not in message
    with pytest.raises(ConfigError, match=r"journal\.quiet\.x .*unknown"):
        registry.options(settings, "journal", "quiet")


@pytest.mark.usefixtures("plugin")
def test_broken_plugins_are_skipped_and_named() -> None:
    broken = registry.broken_plugins()
    assert set(broken) == {"journal.log", "journal.number", "parser.gone", "parser.typo"}
    assert "taken by a built-in adapter" in broken["journal.log"]
    assert "ModuleNotFoundError" in broken["parser.gone"]
    assert registry.load("journal", "log").__module__ == "s3_to_milvus.adapters.journals.log"
    with pytest.raises(ConfigError, match="plug-in no_such_package:Parser cannot be used: ModuleNotFoundError"):
        registry.load("parser", "gone")
    assert registry.target("journal", "log") == "s3_to_milvus.adapters.journals.log:LogJournal"
    with pytest.raises(ConfigError, match="is no class"):
        registry.load("journal", "number")


def test_without_plugins_nothing_is_broken() -> None:
    assert registry.broken_plugins() == {}


def test_no_plugin_is_looked_for_where_ours_are_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        pytest.fail("the metadata of every package was read")

    monkeypatch.setattr(registry, "entry_points", refuse)
    registry.check(load({"splitter.blocks.max_chars": 500}, environ={}, folder=tmp_path))
