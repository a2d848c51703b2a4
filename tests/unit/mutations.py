"""Damaged inputs by the hundred thousand: what a reader must survive.

Hypothesis costs some milliseconds for an example; a reader of configuration is worth more
examples than that allows.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

SEED = int(os.environ.get("CLAWFLEET_FUZZ_SEED", "20261123"))
"""The same in every run, so that a run can be told apart from the change it tests."""
COUNT = int(os.environ.get("CLAWFLEET_FUZZ_COUNT", "100000"))
LONGEST = 4000
"""Bytes; what is slow only when it is long has tests of its own."""

_BYTES = [b"\x00", b"\x09", b"\x1b", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff\xfe"]
_ODD = "\ufeff\u2028\u2029\u0085\u00a0\u180e\u200b\u200d\u202e\u3000\ufffe\U0001f99e\u0301é名ß"


class Mutator:
    """Mutations of a corpus, in an order that the seed decides.

    `tokens` are what the reader's grammar is made of; `nests` are pairs that open and close.
    """

    def __init__(
        self,
        corpus: Sequence[bytes],
        tokens: Sequence[bytes],
        nests: Sequence[tuple[bytes, bytes]],
        seed: int = SEED,
    ) -> None:
        self.random = random.Random(seed)
        self.corpus = [text for text in corpus if len(text) <= LONGEST]
        odd = [char.encode() for char in _ODD]
        self.tokens = [*tokens, *_BYTES, *odd]
        self.nests = nests

    def some(self, count: int) -> Iterator[bytes]:
        """That many inputs of at most `LONGEST` bytes; the corpus itself comes first."""
        for number in range(count):
            yield self.corpus[number] if number < len(self.corpus) else self.one()

    def one(self) -> bytes:
        """A text of the corpus with one to five mutations, mostly one."""
        text = self.random.choice(self.corpus)
        for _ in range(self.random.choice((1, 1, 1, 2, 5))):
            text = self.random.choice(_MUTATIONS)(self, text)
        return text[:LONGEST]

    def span(self, text: bytes) -> tuple[int, int]:
        """Two offsets, mostly near each other."""
        start = self.random.randint(0, len(text))
        return start, min(len(text), start + self.random.choice((1, 2, 5, 20, 200)))

    def flip(self, text: bytes) -> bytes:
        """One bit."""
        if not text:
            return text
        at = self.random.randrange(len(text))
        return text[:at] + bytes([text[at] ^ 1 << self.random.randrange(8)]) + text[at + 1 :]

    def delete(self, text: bytes) -> bytes:
        start, end = self.span(text)
        return text[:start] + text[end:]

    def cut(self, text: bytes) -> bytes:
        """The end is missing, as after a power loss."""
        return text[: self.random.randint(0, len(text))]

    def duplicate(self, text: bytes) -> bytes:
        start, end = self.span(text)
        return text[:end] + text[start:end] * self.random.choice((1, 2, 9)) + text[end:]

    def insert(self, text: bytes) -> bytes:
        at = self.random.randint(0, len(text))
        token = self.random.choice(self.tokens)
        return text[:at] + token * self.random.choice((1, 1, 1, 2, 40)) + text[at:]

    def overwrite(self, text: bytes) -> bytes:
        start, end = self.span(text)
        return text[:start] + self.random.choice(self.tokens) + text[end:]

    def splice(self, text: bytes) -> bytes:
        """A span of another text."""
        other = self.random.choice(self.corpus)
        start, end = self.span(other)
        at = self.random.randint(0, len(text))
        return text[:at] + other[start:end] + text[at:]

    def swap(self, text: bytes) -> bytes:
        start, end = self.span(text)
        return text[end:] + text[start:end] + text[:start]

    def nest(self, text: bytes) -> bytes:
        """A span in many brackets, which are not always closed."""
        start, end = self.span(text)
        depth = self.random.choice((1, 5, 127, 128, 400))
        opening, closing = self.random.choice(self.nests)
        closed = self.random.choice((depth, depth, depth - 1))
        return text[:start] + opening * depth + text[start:end] + closing * closed + text[end:]

    def number(self, text: bytes) -> bytes:
        """A number that is too long for somebody."""
        start, end = self.span(text)
        digits = self.random.choice((b"9", b"0", b"1_", b"f")) * self.random.choice((1, 20, 400))
        prefix = self.random.choice((b"", b"-", b"0x", b"0X", b"1e", b"-.", b"0o", b"1:"))
        return text[:start] + prefix + digits + text[end:]


_MUTATIONS = (
    Mutator.flip,
    Mutator.flip,
    Mutator.delete,
    Mutator.cut,
    Mutator.duplicate,
    Mutator.insert,
    Mutator.insert,
    Mutator.overwrite,
    Mutator.splice,
    Mutator.splice,
    Mutator.swap,
    Mutator.nest,
    Mutator.number,
)
