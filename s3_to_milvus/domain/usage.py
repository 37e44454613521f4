"""What is used of paid services, and its price. All numbers are whole, so that sums and shares are exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Usage"]

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were embedded, pages that were read, and their price in billionths of a US dollar."""

    tokens: int = 0
    pages: int = 0
    nano_usd: int = 0

    @classmethod
    def of(cls, *, tokens: int = 0, pages: int = 0, usd: float = 0.0) -> "Usage":
        """With the price in dollars, rounded once."""
        return cls(tokens, pages, round(usd * _NANO))

    @property
    def usd(self) -> float:
        """The price in US dollars."""
        return self.nano_usd / _NANO

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.tokens + other.tokens, self.pages + other.pages, self.nano_usd + other.nano_usd)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.pages or self.nano_usd)

    def shared(self, weights: Sequence[int]) -> list["Usage"]:
        """A share for each weight (none negative; all 0: all alike). Together they are exactly the whole."""
        if not any(weights):
            weights = [1] * len(weights)
        columns = [_shares(whole, weights) for whole in (self.tokens, self.pages, self.nano_usd)]
        return [Usage(*shares) for shares in zip(*columns, strict=True)]


def _shares(whole: int, weights: Sequence[int]) -> list[int]:
    """Each is the difference of two rounded sums, so that no rounding adds up."""
    total = sum(weights)
    ends = [whole * sum_so_far // total for sum_so_far in accumulate(weights)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
