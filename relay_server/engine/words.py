"""Reads the words that scripts answer: one enum each, so that no other place compares them with strings."""

from enum import StrEnum
from typing import TypeVar

Word = TypeVar("Word", bound=StrEnum)


def words_of(kind: type[Word]) -> dict[bytes, Word]:
    """The words of an enum by what a script writes. An answer that is none of them is a KeyError."""
    return {word.encode(): word for word in kind}
