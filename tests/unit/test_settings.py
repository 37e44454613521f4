"""Settings: which place wins, what is hidden, and what is said about a wrong value."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.routing import collection_label, route_of
from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings import HIDDEN, ORIGINAL_NAMES, Settings, as_variable, explain, is_secret_name, load

Load = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """`load` in an empty folder, with no environment but the one given."""

    def read(arguments: dict[str, Any] | None = None, toml: str = "", dotenv: str = "", **environ: str) -> Settings:
        if toml:
            (tmp_path / "s3-to-milvus.toml").write_text(toml, encoding="utf-8")
        if dotenv:
            (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        return load(arguments, environ=environ, folder=tmp_path)

    return read


def _source(settings: Settings, name: str) -> str:
    return next(each.source for each in explain(settings) if each.name == name)


def _value(settings: Settings, name: str) -> Any:
    return next(each.value for each in explain(settings) if each.name == name)


def test_with_no_setting_everything_is_local(read: Load) -> None:
    settings = read()
    assert (settings.host, settings.port) == ("127.0.0.1", 8510)
    assert settings.embedder.kind == "local"
    assert settings.vector_store.kind == "milvus"
    assert settings.ledger.kind == "sqlite"
    assert settings.journal.kind == "log"
    assert settings.parser.kind == (
        "text",
        "html",
        "pdf",
        "office",
        "opendocument",
        "rtf",
        "hwp",
        "data",
        "book",
        "mail",
        "ocr",
    )
    assert {each.source for each in explain(settings)} == {"default"}


ORDER = ["arguments", "environment", "dotenv", "original", "toml"]


@pytest.mark.parametrize("strongest", range(len(ORDER)))
def test_the_first_place_wins(read: Load, tmp_path: Path, strongest: int) -> None:
    places = set(ORDER[strongest:])
    arguments = {"vector_store.milvus.uri": "arguments"} if "arguments" in places else {}
    environ = {"S2M_VECTOR_STORE__MILVUS__URI": "environment"} if "environment" in places else {}
    if "original" in places:
        environ["MILVUS_URL"] = "original"
    dotenv = "S2M_VECTOR_STORE__MILVUS__URI=dotenv\n" if "dotenv" in places else ""
    toml = '[vector_store.milvus]\nuri = "toml"\n'
    settings = read(arguments, toml, dotenv, **environ)
    assert settings.vector_store.options("milvus") == {"uri": ORDER[strongest]}
    said = {
        "arguments": "an argument",
        "environment": "environment S2M_VECTOR_STORE__MILVUS__URI",
        "dotenv": f"{tmp_path / '.env'} S2M_VECTOR_STORE__MILVUS__URI",
        "original": "environment MILVUS_URL",
        "toml": str(tmp_path / "s3-to-milvus.toml"),
    }
    assert _source(settings, "vector_store.milvus.uri") == said[ORDER[strongest]]


def test_original_names_are_read_from_the_env_file_too(read: Load, tmp_path: Path) -> None:
    settings = read(dotenv="NOTION_TOKEN=from-file\nAWS_ACCESS_KEY=a\n", NOTION_DATABASE_ID="db")
    assert settings.journal.options("notion") == {"token": "from-file", "database_id": "db"}
    assert _source(settings, "journal.notion.token") == f"{tmp_path / '.env'} NOTION_TOKEN"


def test_a_stray_cloud_key_selects_nothing(read: Load) -> None:
    stray = dict.fromkeys((*ORIGINAL_NAMES, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "stray")
    chosen = [(name, getattr(getattr(read(**stray), name), "kind", None)) for name in Settings.model_fields]
    assert chosen == [(name, getattr(getattr(read(), name), "kind", None)) for name in Settings.model_fields]


def test_secrets_are_hidden_wherever_they_stand(read: Load) -> None:
    secret = "hunter2"
    stray = dict.fromkeys(ORIGINAL_NAMES, f"https://user:{secret}@host/x")
    settings = read(
        toml=f'[store.s3]\nsecret_access_key = "{secret}"\n[journal.hook]\nheaders = {{token = "{secret}"}}\n', **stray
    )
    assert secret not in repr(explain(settings))
    assert _value(settings, "store.s3.secret_access_key") == HIDDEN
    assert _value(settings, "vector_store.milvus.uri") == f"https://{HIDDEN}@host/x"


def test_secrets_are_hidden_in_messages(read: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        read(S2M_API_KEY="hunter2", S2M_EMBEDDER='{"openai": "hunter2", "kind": ["hunter2"], "api_key": ["hunter2"]}')
    assert "S2M_API_KEY" in caught.value.message
    assert caught.value.message.count("hunter2") <= 2, "only values whose names are no secrets"
    assert "api_key = " not in caught.value.message.replace(f"= {HIDDEN}", "")


@pytest.mark.parametrize(
    "name", ["api_key", "parser.upstage.api_key", "token", "store.s3.secret_access_key", "password"]
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["max_tokens", "keyboard", "prefix", "database_id", "tokenizer", "key_style"])
def test_plain_names(name: str) -> None:
    assert not is_secret_name(name)


def test_a_part_of_a_section_leaves_the_rest_at_its_default(read: Load) -> None:
    settings = read(toml="[embedder.hash]\ndim = 64\n[engine]\nworkers = 2\n", S2M_ENGINE__GATE_MB="8")
    assert settings.embedder.kind == "local"
    assert settings.embedder.options("hash") == {"dim": 64}
    assert (settings.engine.workers, settings.engine.gate_mb, settings.engine.lease_s) == (2, 8, 60.0)
    by_hand = Settings.model_validate({"embedder": {"hash": {"dim": 64}}, "events": {}})
    assert by_hand.embedder.kind == "local"


def test_switching_kind_leaks_no_options(read: Load) -> None:
    settings = read({"embedder.kind": "hash"}, toml='[embedder]\nkind = "local"\n[embedder.local]\nthreads = 2\n')
    assert settings.embedder.kind == "hash"
    assert settings.embedder.options("hash") == {}


def test_made_by_hand_it_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_PORT", "1")
    assert Settings().port == 8510


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("S2M_PROT", "1", "prot (environment S2M_PROT): unknown; did you mean port?"),
        ("S2M_PARSER__KNID", "pdf", "parser.knid (environment S2M_PARSER__KNID): unknown; did you mean kind?"),
        ("S2M_ENGINE__WORKER", "1", "did you mean workers?"),
        ("S2M_LOG__LEVEL", "loud", "log.level = 'loud' (environment S2M_LOG__LEVEL): Input should be 'debug', 'info'"),
        ("S2M_PORT", "70000", "less than or equal to 65535"),
        ("S2M_EMBEDDER", "hash", "such as embedder.kind or S2M_EMBEDDER__KIND"),
        ("S2M_ROUTES", '[{"prefx": "a"}]', "did you mean prefix?"),
        ("S2M_", "x", "unknown"),
        ("S2M___", "x", "unknown"),
        ("S2M_ZZZ__YYY", "x", "unknown; known: auth, data_dir"),
        ("S2M_AUTH__SNS_TOPICS", "arn:aws:sns:us-east-1:123456789012:t:7d3c", "the ARN of a topic of SNS is expected"),
        ("S2M_AUTH__SNS_TOPICS", "arn:aws:sns:s3-us-east-1.evil:123456789012:t", "the ARN of a topic of SNS"),
        ("S2M_DATA_DIR", "~nobody-of-this-name/x", "has no home folder"),
    ],
)
def test_a_wrong_variable_is_named(read: Load, variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{variable: value})
    assert said in caught.value.message


def test_every_wrong_value_and_every_place_is_listed(read: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(toml='colour = "red"\n[engine]\nworkers = "many"\n', S2M_PORT="x", S2M_ENGINE__WORKERS="few")
    message = caught.value.message
    assert message.startswith("3 settings are wrong:")
    assert f"colour ({tmp_path / 's3-to-milvus.toml'}): unknown" in message
    assert f"engine.workers = 'few' (environment S2M_ENGINE__WORKERS, {tmp_path / 's3-to-milvus.toml'})" in message
    assert (
        f"{tmp_path / '.env'} (not there); the original names; {tmp_path / 's3-to-milvus.toml'}; defaults." in message
    )


def test_a_file_that_is_no_toml_is_named(read: Load) -> None:
    with pytest.raises(ConfigError, match=r"s3-to-milvus\.toml cannot be read: .*line 2"):
        read(toml="port = 1\nhost = \n")


@pytest.mark.parametrize("name", ["s3-to-milvus.toml", ".env"])
def test_a_file_in_another_encoding_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("S2M_SOURCE = '문서'".encode("cp949"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={}, folder=tmp_path)


def test_a_value_and_a_table_of_the_same_name(read: Load) -> None:
    with pytest.raises(ConfigError, match="port was given a plain value"):
        read(S2M_PORT="1", S2M_PORT__X="2")


@pytest.mark.parametrize(
    ("given", "sources"),
    [("문서,2024", ("문서,2024",)), ('["a", "s3://b/c"]', ("a", "s3://b/c")), ("[draft] notes", ("[draft] notes",))],
)
def test_one_source_or_many(read: Load, given: str, sources: tuple[str, ...]) -> None:
    assert read(S2M_SOURCE=given).source == sources


@pytest.mark.parametrize(("given", "kinds"), [("pdf", ("pdf",)), ("pdf, text", ("pdf", "text")), ("none", ())])
def test_one_adapter_or_many(read: Load, given: str, kinds: tuple[str, ...]) -> None:
    assert read(S2M_PARSER__KIND=given).parser.kind == kinds


@pytest.mark.parametrize("given", ["{0}", "{0}, {1}", '["{0}", "{1}"]'])
def test_one_topic_of_sns_or_many(read: Load, given: str) -> None:
    topics = ("arn:aws:sns:us-east-1:123456789012:a-1_B", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:b")
    read_topics = read(S2M_AUTH__SNS_TOPICS=given.format(*topics)).auth.sns_topics
    assert read_topics == topics[: given.count("{")]


def test_an_empty_variable_counts_as_not_set(read: Load) -> None:
    assert read(S2M_PORT="", MILVUS_URL="").port == 8510


def test_an_argument_of_none_counts_as_not_given(read: Load) -> None:
    assert read({"port": None, "source": ("a",)}).source == ("a",)


def test_the_data_folder_is_absolute(read: Load) -> None:
    assert read(S2M_DATA_DIR="data").data_dir == Path("data").absolute()
    assert read(S2M_DATA_DIR="~/data").data_dir == Path.home() / "data"


def test_routes_keep_what_they_leave_for_the_folders_collection(read: Load) -> None:
    toml = '[[routes]]\nprefix = "secret/"\nignored = true\n[[routes]]\nprefix = "규정/"\ncollection = "rules"\n'
    routes = read(toml=toml).domain_routes()
    ignored, named, other = (route_of(routes, ObjectRef("b", key)) for key in ("secret/a", "규정/a", "x/a"))
    assert ignored is not None
    assert ignored.is_ignored
    assert named is not None
    assert named.collection == "rules"
    assert other is not None
    assert not other.collection


def test_a_route_for_everything_replaces_the_default(read: Load) -> None:
    route = route_of(read(S2M_ROUTES='[{"collection": "all"}]').domain_routes(), ObjectRef("b", "x/a"))
    assert route is not None
    assert route.collection == "all"


def test_a_route_has_parsers_and_passwords_of_its_own(read: Load) -> None:
    toml = '[parsing]\npasswords = "b"\n[[routes]]\nprefix = "zips/"\nparsers = ["zip", "text"]\npasswords = ["a", "b"]'
    settings = read(toml=toml)
    routes = settings.domain_routes()
    own, other = (route_of(routes, ObjectRef("b", key)) for key in ("zips/a", "x/a"))
    assert own is not None
    assert other is not None
    assert (own.parsers, own.passwords) == (("zip", "text"), ("a", "b"))
    assert (other.parsers, other.passwords) == (settings.parser.kind, ("b",))
    assert '"b"' not in repr(own)


@pytest.mark.parametrize(
    "value", ['[{"passwords": ["tiger", 7]}]', '[{"passwords": ["tiger"]', '{"passwords": "tiger"}']
)
def test_no_password_of_a_route_is_shown(read: Load, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(S2M_ROUTES=value)
    assert "tiger" not in str(caught.value)
    settings = read(S2M_ROUTES='[{"passwords": ["tiger"]}]', S2M_PARSING__PASSWORDS="lion")
    shown = str(explain(settings))
    assert "tiger" not in shown + repr(settings)
    assert "lion" not in shown + repr(settings)


def test_the_profile_cloud_is_the_arrangement_of_the_original_system(read: Load) -> None:
    keys = {"OPENAI_API_KEY": "sk", "UPSTAGE_API_KEY": "up", "MILVUS_URL": "http://milvus:19530"}
    assert read(**keys).embedder.kind == "local"  # a key alone chooses nothing
    settings = read(S2M_PROFILE="cloud", **keys)
    assert (settings.parser.kind[0], settings.embedder.kind, settings.splitter.kind) == (
        "upstage",
        "openai",
        "recursive",
    )
    assert settings.embedder.options("openai") == {"api_key": "sk"}
    assert settings.vector_store.options("milvus") == {"uri": "http://milvus:19530"}
    ref = ObjectRef("bucket", "Milvus/규정/a.pdf")
    route = route_of(settings.domain_routes(), ref)
    assert route is not None
    assert collection_label(route, ref) == "규정"
    assert settings.places_of("embedder.kind") == ["the profile cloud"]


WHOLE_ENV = {name: f"value-of-{name}" for name in ORIGINAL_NAMES if name != "UPSTAGE_API_URL"}


def _dotenv(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def test_the_original_s_env_file_alone_is_its_arrangement(read: Load, tmp_path: Path) -> None:
    settings = read(dotenv=_dotenv(WHOLE_ENV))
    assert (settings.profile, settings.embedder.kind, settings.journal.kind) == ("cloud", "openai", "notion")
    assert settings.source == ("s3://*",)
    assert str(tmp_path / ".env") in _source(settings, "profile")
    assert "UPSTAGE_API_KEY" in _source(settings, "profile")
    assert "value-of" not in _source(settings, "profile")


def test_the_original_s_sizes_lie_beside_its_env_file(read: Load, tmp_path: Path) -> None:
    sizes = tmp_path / "chunk_params.txt"
    sizes.write_text("규정|1000|100\n", encoding="utf-8")
    assert read(dotenv=_dotenv(WHOLE_ENV)).splitter.options("recursive") == {"params_file": str(sizes)}
    assert read(dotenv="S2M_PROFILE=cloud\n").splitter.options("recursive") == {}
    other = read(dotenv=_dotenv(WHOLE_ENV), S2M_SPLITTER__RECURSIVE__PARAMS_FILE="other.txt")
    assert other.splitter.options("recursive") == {"params_file": "other.txt"}


@pytest.mark.parametrize("missing", WHOLE_ENV)
def test_a_part_of_the_original_s_env_file_chooses_nothing(read: Load, missing: str) -> None:
    part = {name: value for name, value in WHOLE_ENV.items() if name != missing}
    assert read(dotenv=_dotenv(part)).profile == "local"
    assert read(dotenv=_dotenv(part | {missing: ""})).profile == "local"
    assert read(dotenv=_dotenv(part), **{missing: "from elsewhere"}).profile == "local"


def test_any_word_on_the_profile_is_stronger_than_the_original_s_env_file(read: Load) -> None:
    assert read(**WHOLE_ENV).profile == "local"  # the environment may hold keys of other programs
    assert read(dotenv=_dotenv(WHOLE_ENV), S2M_PROFILE="local").profile == "local"
    assert read(dotenv=_dotenv(WHOLE_ENV), toml='profile = "local"\n').embedder.kind == "local"


def test_every_other_setting_is_stronger_than_a_profile(read: Load) -> None:
    settings = read(S2M_EMBEDDER__KIND="hash", toml='profile = "cloud"\n[parser]\nkind = ["text"]\n')
    assert (settings.embedder.kind, settings.parser.kind) == ("hash", ("text",))
    assert settings.splitter.kind == "recursive"
    with pytest.raises(ConfigError, match="profile = 'clowd'"):
        read(S2M_PROFILE="clowd")


def test_every_value_that_is_shown_can_be_set_by_a_variable(read: Load) -> None:
    for each in explain(Settings()):
        variable = as_variable(each.name)
        value = each.value if isinstance(each.value, str) else json.dumps(each.value)
        assert _source(read(**{variable: value}), each.name) == f"environment {variable}"
