"""Page numbers in words."""

from collections.abc import Sequence

__all__ = ["page_list"]


def page_list(numbers: Sequence[int]) -> str:
    """Ascending page numbers for people: "page 3", "pages 1-4, 7"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    listed = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:20])
    return f"{'page' if len(numbers) == 1 else 'pages'} {listed}{', …' if len(ranges) > 20 else ''}"
