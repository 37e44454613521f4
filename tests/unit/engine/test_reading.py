"""Documents with pages that only a reader of pictures can read, and with files inside them."""

from collections.abc import Iterator

import pytest

from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Document
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.engine.reading import Reading
from s3_to_milvus.errors import ParserTimeout, Unavailable, UnreadableDocument
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.fakes.parser import FAIL_PERMANENT, FakeParser
from tests.unit.engine.house import House

_BOOK = "application/book"


class _Book(FakeParser):
    """Five pages, of which the second, the fourth and the fifth are pictures; or what a test says."""

    kind = "book"

    def __init__(self, unread: tuple[int, ...] = (2, 4, 5), texts: tuple[int, ...] = (1, 3)) -> None:
        super().__init__(frozenset({_BOOK}))
        self._unread, self._texts = unread, texts

    def parse(self, source: ParserInput) -> Document:
        blocks = [Block(BlockKind.PARAGRAPH, f"text {page}", page=page) for page in self._texts]
        return Document(blocks, _BOOK, page_count=5, unread_pages=self._unread)


class _Eyes(FakeParser):
    """Reads pages; those that a test names fail."""

    kind = "eyes"
    page_media_types = frozenset({_BOOK})

    def __init__(self, **failures: Exception) -> None:
        super().__init__(frozenset())
        self._failures = failures

    def parse(self, source: ParserInput) -> Document:
        assert source.pages is not None
        if error := self._failures.get(f"page_{source.pages[0]}"):
            raise error
        return Document([Block(BlockKind.PARAGRAPH, f"seen {page}", page=page) for page in source.pages], _BOOK)


class _Box(FakeParser):
    """A file with files inside: each part between ``|`` is one, and a part that begins with ``box`` is a box again."""

    kind = "box"

    def __init__(self) -> None:
        super().__init__(frozenset({"application/zip"}))

    def parse(self, source: ParserInput) -> Document:
        def attachments() -> Iterator[Attachment]:
            for number, part in enumerate(source.read().split(b"|")[1:], 1):
                yield Attachment(f"{number}.zip" if part.startswith(b"box") else f"{number}.txt", part)

        return Document([Block(BlockKind.PARAGRAPH, "outside")], "application/zip", attachments=attachments())


def _read(house: House, media_type: str, data: bytes = b"x") -> tuple[list[str], list[str]]:
    reading = Reading(
        house.parts, house.parts.readers_of(ObjectRef("b", "a")), ParserInput(media_type, "a", len(data), data=data)
    )
    return [block.text for block in reading.document.blocks], reading.warnings


def test_pages_stand_in_their_order(tmp_path):
    house = House(tmp_path, parsers=[_Book(), _Eyes()])
    assert _read(house, _BOOK) == (["text 1", "seen 2", "text 3", "seen 4", "seen 5"], [])


def test_a_page_that_fails_fails_alone_and_is_named(tmp_path):
    eyes = _Eyes(page_4=ParserTimeout("took too long"))
    house = House(tmp_path, parsers=[_Book(), eyes])
    texts, warnings = _read(house, _BOOK)
    assert texts == ["text 1", "seen 2", "text 3", "seen 5"]
    assert warnings == ["page 4: took too long"]


def test_when_nothing_else_has_text_the_failure_is_that_of_the_document(tmp_path):
    house = House(tmp_path, parsers=[_Book((1,), ()), _Eyes(page_1=ParserTimeout("took too long"))])
    with pytest.raises(ParserTimeout):
        _read(house, _BOOK)


def test_a_passing_failure_is_never_a_warning(tmp_path):
    house = House(tmp_path, parsers=[_Book(), _Eyes(page_2=Unavailable("stopping"))])
    with pytest.raises(Unavailable):
        _read(house, _BOOK)


def test_without_a_reader_of_pictures_the_pages_are_named(tmp_path):
    house = House(tmp_path, parsers=[_Book()])
    assert _read(house, _BOOK) == (["text 1", "text 3"], ["pages 2, 4-5 have no text (a scan?)"])


def test_files_inside_stand_under_their_names(tmp_path):
    house = House(tmp_path, parsers=[FakeParser(), _Box()])
    texts, warnings = _read(house, "application/zip", b"|one\n\ntwo|three")
    assert texts == ["outside", "1.txt", "one", "two", "2.txt", "three"]
    assert warnings == []


def test_a_file_inside_that_fails_fails_alone_and_is_named(tmp_path):
    house = House(tmp_path, parsers=[FakeParser(), _Box()])
    texts, warnings = _read(house, "application/zip", b"|" + FAIL_PERMANENT + b"|three")
    assert texts == ["outside", "2.txt", "three"]
    assert warnings == ["1.txt: the file says that it is damaged"]


def test_files_inside_files_end_somewhere(tmp_path):
    class Endless(_Box):
        def parse(self, source: ParserInput) -> Document:
            return Document((), "application/zip", attachments=[Attachment("again.zip", b"box")])

    house = House(tmp_path, parsers=[Endless()])
    assert _read(house, "application/zip") == ([], ["again.zip: too many files inside files"])


def test_the_record_keeps_what_could_not_be_read(tmp_path):
    house = House(tmp_path, parsers=[FakeParser(), _Box()])
    ref = house.put("a/x.zip", b"|" + FAIL_PERMANENT + b"|three")
    house.work()
    record = house.record(ref)
    assert (record.outcome, record.error_code) == (Outcome.INDEXED, "")
    assert record.error == "1.txt: the file says that it is damaged"


def test_a_better_reader_of_pictures_makes_other_recipes(tmp_path):
    book = _Book()
    alone, helped = House(tmp_path, parsers=[book]), House(tmp_path, parsers=[book, _Eyes()])
    ref = ObjectRef("b", "a")
    assert alone.parts.readers_of(ref).recipe_for(book) != helped.parts.readers_of(ref).recipe_for(book)


def test_what_no_parser_reads_inside_is_named(tmp_path):
    house = House(tmp_path, parsers=[_Box()])
    texts, warnings = _read(house, "application/zip", b"|one")
    assert texts == ["outside"]
    assert warnings == ["1.txt: A text/plain file: no parser on this route reads it."]


def test_a_box_of_damaged_files_is_unreadable(tmp_path):
    class Bare(_Box):
        def parse(self, source: ParserInput) -> Document:
            return Document((), "application/zip", attachments=[Attachment("1.txt", FAIL_PERMANENT)])

    with pytest.raises(UnreadableDocument):
        _read(House(tmp_path, parsers=[FakeParser(), Bare()]), "application/zip")
