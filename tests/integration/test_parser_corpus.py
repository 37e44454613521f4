"""Facts about single real files of kinds that have no corpus tests of their own."""

from s3_to_milvus import registry
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_file, require_corpus

require_corpus()


def _read(name: str) -> Document:
    path = corpus_file(name)
    media_type = sniff(None, path, name)
    kinds = (registry.load("parser", kind) for kind in registry.kinds("parser"))
    parser = next(each for each in kinds if media_type in each.media_types)
    document: Document = parser().parse(ParserInput(media_type, name, path.stat().st_size, path=path))
    return document


def _blocks(name: str) -> list[Block]:
    return list(_read(name).blocks)


def test_an_opendocument_text_has_its_lists_and_headings() -> None:
    blocks = _blocks("odt_doc.odt")
    assert ("heading", "Heading level 2: A", 2) in [(block.kind.value, block.text, block.level) for block in blocks]
    assert "bullet list 2.2.1" in [block.text for block in blocks if block.kind is BlockKind.LIST_ITEM]


def test_a_japanese_table() -> None:
    assert _blocks("csv_mskanji.csv")[0].rows[:2] == (("名前", "年齢", "住所"), ("佐藤太郎", "30", "東京"))


def test_a_korean_feed() -> None:
    text = text_of(_blocks("txt_cp949.xml"))
    assert "구라치다 걸리면" in text
    assert "\ufffd" not in text


def test_rtf_has_three_headings() -> None:
    assert [(block.kind.value, block.text, block.level) for block in _blocks("rtf_heading.rtf")] == [
        ("heading", "Heading 1", 1),
        ("heading", "Heading 2", 2),
        ("heading", "Heading 3", 3),
        ("paragraph", "Paragraph", 0),
    ]


def test_a_book_and_a_notebook() -> None:
    book = _read("epub_winter.epub")
    assert "winter" in book.title.lower()
    assert len(list(book.blocks)) > 50
    assert "markitdown" in text_of(_blocks("ipynb_test.ipynb"))


def test_mails_and_messages_keep_their_attachments() -> None:
    for name in ("eml_attach.eml", "msg_attach.msg"):
        document = _read(name)
        assert document.title == "Fake email with attachment"
        assert [each.name for each in document.attachments] == ["fake-attachment.txt"]
