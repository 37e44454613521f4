"""One table as it is read: repeated cells and rows are kept as counts until it is known that they hold anything."""

from s3_to_milvus.domain.charsets import clean_text

__all__ = ["OpenTable"]

_MAX_COLUMNS = 1_024
_MAX_REPEATED_CELLS = 64
_MAX_REPEATED_ROWS = 100


class OpenTable:
    """Cells with their repeats. Empty ones at the end of a row, and empty rows, are left out.

    A value that is repeated beyond any table (filled down a whole column) is kept a hundred times.
    """

    def __init__(self) -> None:
        self.has_header_rows = False
        self.is_in_cell = False
        self._rows: list[list[str]] = []
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
        while self._cells and not self._cells[-1][0]:
            self._cells.pop()
        row: list[str] = []
        for text, repeat in self._cells:
            row += [text] * min(repeat, _MAX_REPEATED_CELLS if text else _MAX_COLUMNS - len(row))
        if row := row[:_MAX_COLUMNS]:
            self._rows += [row] * min(self._row_repeat, _MAX_REPEATED_ROWS)
        self._cells = []

    def rows(self) -> list[list[str]]:
        """All rows, equally long."""
        if self._cells:
            self.end_row()
        width = max(map(len, self._rows), default=0)
        return [[*row, *[""] * (width - len(row))] for row in self._rows]
