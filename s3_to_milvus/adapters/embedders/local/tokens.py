"""Texts to windows of token ids, as multilingual-e5-small expects them."""

import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

from s3_to_milvus.domain.limits import storable_text

if TYPE_CHECKING:
    from s3_to_milvus.adapters.embedders.local.weights import Weights

__all__ = ["Encoder", "clean_text", "make_encoder", "windows_of"]

Encoder = Callable[[str], list[int]]

# What the model's own normaliser (SentencePiece nmt_nfkc) drops, and what it takes for a space.
_DROPPED = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")
_SPACES = re.compile("[\\s\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffc\ufffd]+")


def clean_text(text: str) -> str:
    """NFC (decomposed Hangul would be other tokens), no NUL, no lone surrogates, single spaces."""
    text = unicodedata.normalize("NFC", storable_text(text))
    return _SPACES.sub(" ", _DROPPED.sub("", text)).strip()


def make_encoder(weights: "Weights") -> Encoder:
    """A thread-safe function from cleaned text to token ids, without the ids that open and close a window."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers  # heavy

    tokenizer = Tokenizer(models.Unigram(weights.pieces, unk_id=weights.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")

    def encode(text: str) -> list[int]:
        # One text at a time: the library's own thread pool would warn and misbehave in forked children.
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return encode


def windows_of(ids: list[int], bos: int, eos: int, positions: int) -> list[list[int]]:
    """Cut ids into windows that fit the model, each opened and closed; at least one."""
    room = positions - 2
    return [[bos, *ids[at : at + room], eos] for at in range(0, max(len(ids), 1), room)]
