"""HTML as blocks."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.adapters.parsers.html import HtmlParser
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import text_of


def _parse(page: str | bytes) -> Document:
    data = page.encode() if isinstance(page, str) else page
    return HtmlParser().parse(ParserInput("text/html", "x.html", len(data), data=data))


def _shape(page: str) -> list[tuple[str, str]]:
    found = _parse(page).blocks
    return [(block.kind.value + (str(block.level) if block.level else ""), block.text) for block in found]


def _rows(page: str) -> list[tuple[tuple[str, ...], ...]]:
    return [block.rows for block in _parse(page).blocks if block.rows]


def test_structure() -> None:
    page = """<html lang=ko><head><title> A
    title </title><style>no</style></head><body>before<h1>One <b>bold</b></h1><div><p>first</p>tail</div>
    <ul><li>a<p>more</p><li>b<ul><li>c</ul></ul><dl><dt>term<dd>meaning</dl>
    <figure><img src=x><figcaption>Fig. 1</figcaption></figure><pre>x
      y</pre><noscript>no</noscript><h3>Three</h3>end<br>of it<script>no()</script></body></html>after"""
    document = _parse(page)
    assert (document.title, document.language) == ("A title", "ko")
    assert _shape(page) == [
        ("paragraph", "before"),
        ("heading1", "One bold"),
        ("paragraph", "first"),
        ("paragraph", "tail"),
        ("list_item", "a"),
        ("list_item", "more"),
        ("list_item", "b"),
        ("list_item", "c"),
        ("list_item", "term"),
        ("list_item", "meaning"),
        ("caption", "Fig. 1"),
        ("code", "x\n      y"),
        ("heading3", "Three"),
        ("paragraph", "end\nof it"),
        ("paragraph", "after"),
    ]


def test_tables_with_spans() -> None:
    page = """<table><caption>표 1</caption><thead><tr><th>구분<th colspan=2>매출</thead>
    <tr><td rowspan=2>서울<td>1분기<td>10</tr><tr><td>2분기<td><p>20</p><p>억</p></tr></table>"""
    document = _parse(page)
    caption, table = document.blocks
    assert caption.text == "표 1"
    assert table.has_header
    assert table.rows == (("구분", "매출", "매출"), ("서울", "1분기", "10"), ("서울", "2분기", "20 억"))


def test_empty_columns_go_and_single_columns_are_text() -> None:
    assert _rows("<table><tr><td>a<td><td>b</tr><tr><td>c<td>&nbsp;<td>d</tr></table>") == [(("a", "b"), ("c", "d"))]
    assert _shape("<table><tr><td>one</tr><tr><td>two</tr></table>") == [("paragraph", "one"), ("paragraph", "two")]


def test_nested_tables_are_layouts() -> None:
    page = """<table><tr><td>menu<td>intro<table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table>outro
    <h2>deep</h2></td></tr><tr><td>foot<td>note</tr></table>end"""
    assert _rows(page) == [(("k", "v"), ("1", "2"))]
    assert text_of(list(_parse(page).blocks)) == "menu intro k v 1 2 outro deep foot note end"


def test_span_bombs_stay_small() -> None:
    cell = "<td colspan=1000 rowspan=65534>" + "x" * 10_000
    rows = _rows(f"<table><tr>{cell * 50}</tr>" + "<tr><td>a<td>b</tr>" * 200 + "</table>")
    assert sum(len(text) for table in rows for row in table for text in row) < 1_000_000


def test_data_page_gives_pages() -> None:
    page = (
        "<p data-page=2>a</p><p>b</p><div data-page='3'><p>c</p></div><p data-page=x>d</p>"
        "<table data-page=4><tr><td>e<td>f</table>"
    )
    assert [(text_of([block]), block.page) for block in _parse(page).blocks] == [
        ("a", 2),
        ("b", 2),
        ("c", 3),
        ("d", 3),
        ("e f", 4),
    ]


@pytest.mark.parametrize("depth", [300, 200_000])
def test_no_depth_is_too_deep(depth: int) -> None:
    page = "<p>before" + "<div>" * depth + "깊은 글" + "</div>" * depth + "<p>after"
    began = time.process_time()
    assert text_of(list(_parse(page).blocks)) == "before 깊은 글 after"
    assert time.process_time() - began < 60


@pytest.mark.parametrize("tag", ["b", "table", "li", "table><tr><td", "svg", "script"])
def test_other_depths_end_well(tag: str) -> None:
    document = _parse("<p>before" + f"<{tag}>" * 20_000 + "글")
    assert "before" in text_of(list(document.blocks))


@pytest.mark.parametrize("name", ["utf-8", "cp949", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize(
    "declared", ["", "<meta charset=euc-kr>", "<meta http-equiv=x content='text/html; charset=utf-8'>"]
)
def test_charsets(name: str, declared: str) -> None:
    page = f"<html><head>{declared}</head><body><p>똠방각하와 펲시콜라를 아래아한글로 적었다.</p></body></html>"
    assert text_of(list(_parse(page.encode(name)).blocks)) == "똠방각하와 펲시콜라를 아래아한글로 적었다."


def test_an_xml_declaration_names_the_charset() -> None:
    page = "<?xml version='1.0' encoding='euc-kr'?><html><body><p>가</p></body></html>"
    assert text_of(list(_parse(page.encode("cp949")).blocks)) == "가"


def test_no_text_is_told() -> None:
    assert _parse("<html><body><script>x</script></body></html>").warnings == ("the page has no text",)
    assert _parse("").warnings == ()


@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<table>",
                "</table>",
                "<tr>",
                "<td>",
                "</td>",
                "<th>",
                "<caption>",
                "</caption>",
                "<li>",
                "</ul>",
                "<h2>",
                "</h2>",
                "<pre>",
                "</pre>",
                "<br>",
                "<title>",
                "</title>",
                "<thead>",
                "</tr>",
                "word ",
            ]
        ),
        max_size=30,
    )
)
def test_words_are_never_lost_or_doubled(parts: list[str]) -> None:
    document = _parse("<body>" + "".join(part.replace("word", f"word{at}") for at, part in enumerate(parts)))
    text = f"{document.title} {text_of(list(document.blocks))}"
    for at, part in enumerate(parts):
        if part == "word ":
            assert text.count(f"word{at} ") + text.endswith(f"word{at}") >= 1
