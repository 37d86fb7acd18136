"""Words, their language, and the terms that stand out."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from stopwords import STOP_WORDS

APOSTROPHES = "'\u2019"
WORD = re.compile(rf"\w+(?:[{APOSTROPHES}.,:-]\w+)*")
TERM_COUNT = 8
SHORTEST_TERM = 3
# Found by trial: below these a text is too short, too mixed, or in none of the languages (Lorem ipsum, tables).
LEAST_HITS = 4
LEAST_SHARE = 0.18
LEAST_LEAD = 1.3


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, in order, as they are written; `don't` and `1,200.50` are one each."""
    return WORD.findall(text)


def language_of(words: Sequence[str]) -> str | None:
    """Return the ISO 639-1 code of the words' language, told by its most common words; None if unsure."""
    pieces = Counter(_pieces(words))
    total = sum(count for piece, count in pieces.items() if not piece.isdigit())
    scores = {language: _score(pieces, language) for language in STOP_WORDS}
    best, second = sorted(scores, key=lambda language: (-scores[language], language))[:2]
    hits = sum(count for piece, count in pieces.items() if piece in STOP_WORDS[best])
    is_sure = hits >= LEAST_HITS and hits >= LEAST_SHARE * total and scores[best] >= LEAST_LEAD * scores[second]
    return best if is_sure else None


def frequent_terms(words: Sequence[str], language: str | None) -> list[dict[str, Any]]:
    """Return the most frequent terms, stop words left out (of every language where it is not known).

    Terms that are equally frequent stand in the order of the text.
    """
    left_out = STOP_WORDS[language] if language else frozenset[str]().union(*STOP_WORDS.values())
    terms = (piece for piece in _pieces(words) if piece not in left_out and _is_term(piece))
    return [{"term": term, "count": count} for term, count in Counter(terms).most_common(TERM_COUNT)]


def _pieces(words: Sequence[str]) -> list[str]:
    """Return the words in small letters, cut at apostrophes: l'acqua is l and acqua."""
    return [piece for word in words for piece in re.split(f"[{APOSTROPHES}]", word.lower())]


def _is_term(piece: str) -> bool:
    return len(piece) >= SHORTEST_TERM and not re.search(r"[\d_.,:]", piece)


def _score(pieces: Counter[str], language: str) -> float:
    """Sum the language's common words; one that several languages have counts for each of them in part."""
    return sum(count / _spread(piece) for piece, count in pieces.items() if piece in STOP_WORDS[language])


def _spread(piece: str) -> int:
    return sum(piece in common for common in STOP_WORDS.values())
