"""The parsers of one route, in their order: the first that reads a kind of file is used."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from s3_to_milvus.domain.recipe import Recipe, fingerprint_of
from s3_to_milvus.errors import EncryptedDocument, UnsupportedFormat
from s3_to_milvus.ports import Parser

__all__ = ["Readers"]

_LOCK_DIGITS = 4  # enough to see a change; too few to guess a password by


@dataclass(frozen=True)
class Readers:
    """``passwords`` are tried where a file asks for one. ``splitter`` and ``embedder`` are fingerprints, for recipes.

    ``describe`` names a media type for people.
    """

    parsers: Sequence[Parser]
    describe: Callable[[str], str]
    splitter: str
    embedder: str
    passwords: tuple[str, ...] = field(default=(), repr=False)

    def with_splitter(self, fingerprint: str) -> "Readers":
        """The same for a collection whose chunks are made in another way."""
        if fingerprint == self.splitter:
            return self
        if fingerprint not in self._others:
            self._others[fingerprint] = replace(self, splitter=fingerprint)
        return self._others[fingerprint]

    def parser_for(self, media_type: str) -> Parser | None:
        """The first parser that reads this media type."""
        return next((parser for parser in self.parsers if media_type in parser.media_types), None)

    def require(self, media_type: str) -> Parser:
        """The same. Raises `UnsupportedFormat` where there is none."""
        parser = self.parser_for(media_type)
        if parser is None:
            raise UnsupportedFormat(f"{self.describe(media_type)}: no parser on this route reads it.")
        return parser

    def page_reader_for(self, media_type: str) -> Parser | None:
        """The first parser that reads pages of this media type as pictures."""
        return next((parser for parser in self.parsers if media_type in parser.page_media_types), None)

    def recipe_for(self, parser: Parser | None) -> str:
        """The fingerprint stored with what this parser made. No parser: changes when any parser is added."""
        return self._recipes[None if parser is None else parser.kind]

    def recipe_of_failure(self, recipe: str, error: Exception) -> str:
        """The fingerprint stored with a failure: a file that asks for a password is tried again with other ones."""
        recipe = recipe or self.recipe_for(None)
        return self._locked(recipe) if isinstance(error, EncryptedDocument) else recipe

    @cached_property
    def recipes(self) -> frozenset[str]:
        """Every recipe that is valid today; what was made by another one must be made again."""
        made = frozenset(self._recipes.values())
        return made | {self._locked(recipe) for recipe in made}

    @cached_property
    def _others(self) -> dict[str, "Readers"]:
        return {}

    @cached_property
    def _recipes(self) -> dict[str | None, str]:
        known = fingerprint_of(*sorted({kind for each in self.parsers for kind in each.media_types}))
        firsts: dict[str | None, str] = {each.kind: self._helped(each) for each in self.parsers}
        firsts[None] = f"none:{known}"
        return {kind: Recipe(first, self.splitter, self.embedder).fingerprint for kind, first in firsts.items()}

    def _helped(self, parser: Parser) -> str:
        """A parser, and those that read pages for it: a better reader of pictures makes other rows, too."""
        helpers = [each for each in self.parsers if each is not parser and each.page_media_types & parser.media_types]
        return "+".join(f"{each.kind}:{each.fingerprint}" for each in (parser, *helpers))

    def _locked(self, recipe: str) -> str:
        mark = hashlib.sha256("\0".join(self.passwords).encode("utf-8", "surrogatepass")).hexdigest()[:_LOCK_DIGITS]
        return fingerprint_of(recipe, mark)
