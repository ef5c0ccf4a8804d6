"""Text in the columns of a table: which columns are text, and what its terms are.

    if texts.share_words(strings): terms = texts.terms(strings, characters=False)       # a set per string
"""
import re

WORD = r"\b\w\w+\b"  # as TfidfVectorizer takes them
UNSPACED = r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]"  # scripts without spaces between words: kana, Han and Thai


def share_words(text):
    """Return whether any word is in two texts: others tell nothing."""
    seen = set()
    for words in text.str.lower().str.findall(WORD):
        if not seen.isdisjoint(words):
            return True
        seen.update(words)
    return False


def are_lists_of_numbers(text):
    """Return whether cells are several numbers each, such as pixels or embeddings."""
    parts = text.head(200).str.findall(r"[^\s,;\[\]()]+")
    numbers = sum(bool(re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", part, re.I)) for cell in parts for part in cell)
    return parts.str.len().median() >= 8 and numbers >= 0.95 * parts.str.len().sum()


def terms(text, characters):
    """Return the set of terms of each text, as TfidfVectorizer takes them. text: strings in a pandas.Series."""
    text = text.str.lower()
    if not characters:
        return text.str.findall(WORD).map(set)
    return text.str.replace(r"\s\s+", " ", regex=True).map(lambda each: {*each, *map("".join, zip(each, each[1:]))})
