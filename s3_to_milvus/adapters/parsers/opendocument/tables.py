"""One table as it is read: repeated cells and rows are kept as counts until it is known that they hold anything."""

from s3_to_milvus.domain.charsets import clean_text

__all__ = ["OpenTable", "Repeats"]

_ALWAYS_ALIGNED_CELLS = 1_000_000
_MAX_CELLS_FOR_EACH_TEXT = 20
_MAX_REPEATED_CELLS = 64
_MAX_REPEATED_ROWS = 100
_MAX_COPIES = 200_000


class Repeats:
    """How many cells of a document are only copies of others: past the limit none is copied any more, so that a small
    file is no bomb. Shared by all its tables."""

    def __init__(self) -> None:
        self._left = _MAX_COPIES

    def allowed(self, wanted: int, cells: int) -> int:
        """How often something of ``cells`` cells may stand: as often as it is ``wanted``, or once."""
        copies = (wanted - 1) * cells
        if copies > self._left:
            return 1
        self._left -= copies
        return wanted


class OpenTable:
    """Cells with their repeats. Empty ones are only counted; rows and columns without any text are left out.

    A value that is repeated beyond any table (filled down a whole column) is kept a hundred times.
    """

    def __init__(self, repeats: Repeats) -> None:
        self._repeats = repeats
        self.has_header_rows = False
        self.is_in_cell = False
        self._rows: list[list[tuple[int, str]]] = []
        self._cells: list[tuple[str, int]] = []
        self._row_repeat = 1
        self._cell_repeat = 1
        self._parts: list[str] = []
        self._value = ""

    def begin_row(self, repeat: int) -> None:
        """A row begins, to stand ``repeat`` times."""
        self._cells, self._row_repeat = [], repeat

    def begin_cell(self, repeat: int, value: str) -> None:
        """A cell begins. ``value`` counts where it shows no text."""
        self._parts, self._cell_repeat, self._value, self.is_in_cell = [], repeat, value, True

    def add(self, text: str) -> None:
        """A paragraph of the cell."""
        if text:
            self._parts.append(text)

    def end_cell(self) -> None:
        """The cell ends."""
        text = " ".join(" ".join(self._parts or [clean_text(self._value)]).split())
        self._cells.append((text, self._cell_repeat))
        self.is_in_cell = False

    def end_row(self) -> None:
        """The row ends."""
        row: list[tuple[int, str]] = []
        column = 0
        for text, repeat in self._cells:
            if text:
                copies = self._repeats.allowed(min(repeat, _MAX_REPEATED_CELLS), 1)
                row += [(column + offset, text) for offset in range(copies)]
            column += repeat
        if row:
            self._rows += [row] * self._repeats.allowed(min(self._row_repeat, _MAX_REPEATED_ROWS), len(row))
        self._cells = []

    def rows(self) -> list[list[str]]:
        """All rows, equally long. Where texts are so scattered that nearly all would be empty: only the texts."""
        if self._cells:
            self.end_row()
        filled = sorted({column for row in self._rows for column, _ in row})
        texts = sum(map(len, self._rows))
        if len(filled) * len(self._rows) > max(_ALWAYS_ALIGNED_CELLS, _MAX_CELLS_FOR_EACH_TEXT * texts):
            return [[text for _, text in row] for row in self._rows]
        places = {column: place for place, column in enumerate(filled)}
        lines = []
        for row in self._rows:
            line = [""] * len(filled)
            for column, text in row:
                line[places[column]] = text
            lines.append(line)
        return lines
