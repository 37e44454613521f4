"""Documents as HTML and Markdown say what the blocks say, and are read again as the same blocks."""

from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.adapters.parsers.html import HtmlParser
from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.domain.documents import Block, BlockKind, Box, Document
from s3_to_milvus.domain.rendering import html_of, html_page, markdown_of
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import text_of

BLOCKS = [
    Block(BlockKind.HEADING, "인사 <규정> & more", level=2, page=1),
    Block(BlockKind.PARAGRAPH, "first line\nsecond line", page=1, box=Box(0.1, 0.2, 0.3, 0.4)),
    Block(BlockKind.LIST_ITEM, "one", page=2),
    Block(BlockKind.LIST_ITEM, "two", page=2),
    Block(BlockKind.TABLE, rows=(("이름", "일수"), ("연차", "15 | 20"), ("<b>", "")), has_header=True, page=3),
    Block(BlockKind.CODE, "a = 1\n  b < 2", page=3),
    Block(BlockKind.CAPTION, "그림 1", page=3),
]

_text = st.text(st.sampled_from("ab가 \\`*_[]<>&|#-+1.)\n~="), min_size=1, max_size=30).map(
    lambda text: " ".join(text.split())
)
_cells = st.lists(_text.filter(bool), min_size=2, max_size=3)


def _html(blocks: list[Block]) -> str:
    return "".join(html_page("t", "ko", html_of(Document(blocks, "x")), ["page 4: <took> too long"]))


def _markdown(blocks: list[Block]) -> str:
    return "".join(markdown_of(Document(blocks, "x")))


def _read(parser: HtmlParser | TextParser, media_type: str, text: str) -> list[Block]:
    return list(parser.parse(ParserInput(media_type, "a", len(text), data=text.encode())).blocks)


def test_html_is_read_again_as_the_same_blocks():
    page = _html(BLOCKS)
    read = _read(HtmlParser(), "text/html", page)
    assert [(b.kind, b.text, b.rows, b.level, b.page) for b in read] == [
        (b.kind, b.text, b.rows, b.level, b.page) for b in BLOCKS
    ]
    assert 'data-box="0.1000,0.2000,0.3000,0.4000"' in page
    assert "<ul>\n<li" in page
    assert '<meta name="warning" content="page 4: &lt;took&gt; too long">' in page
    assert '<html lang="ko">' in page


def test_markdown_shows_every_kind():
    assert _markdown(BLOCKS) == (
        "<!-- page 1 -->\n\n## 인사 \\<규정> \\& more\n\nfirst line  \nsecond line\n\n"
        "<!-- page 2 -->\n\n- one\n- two\n\n"
        "<!-- page 3 -->\n\n| 이름 | 일수 |\n| --- | --- |\n| 연차 | 15 \\| 20 |\n| \\<b> |  |\n\n"
        "```\na = 1\n  b < 2\n```\n\n*그림 1*\n"
    )


def test_a_fence_is_longer_than_any_inside():
    assert _markdown([Block(BlockKind.CODE, "```\nx\n```")]) == "````\n```\nx\n```\n````\n"


def test_nothing_is_nothing():
    assert _markdown([]) == ""
    assert _read(HtmlParser(), "text/html", _html([])) == []


@given(st.lists(_text.filter(bool), min_size=1, max_size=4), st.lists(_cells, min_size=2, max_size=3))
def test_any_text_means_nothing_to_either(texts: list[str], rows: list[list[str]]):
    blocks = [Block(BlockKind.PARAGRAPH, text) for text in texts]
    width = max(map(len, rows))
    blocks.append(Block(BlockKind.TABLE, rows=tuple((*row, *[""] * (width - len(row))) for row in rows)))
    assert _html_texts(blocks) == text_of(blocks)
    kinds = {block.kind for block in _read(TextParser(), "text/markdown", _markdown(blocks))}
    assert kinds <= {BlockKind.PARAGRAPH, BlockKind.TABLE}


def _html_texts(blocks: list[Block]) -> str:
    return text_of(_read(HtmlParser(), "text/html", _html(blocks)))
