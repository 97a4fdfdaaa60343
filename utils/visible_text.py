"""What a reader sees of a text: programs write what nobody sees, or can tell apart.

A page that text is copied from leaves invisible characters in it, and phones and word
processors turn ' and - into other characters while somebody types.
"""

import re
import unicodedata
from typing import Final

# Default_Ignorable_Code_Point (Unicode 15, section 5.21), without what shapes others.
# These stand in JSON Schema too, whose patterns can't name what is above U+FFFF.
INVISIBLE_16_BIT: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8"
)
_INVISIBLE: Final = INVISIBLE_16_BIT + (
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
    "\U000e01f0-\U000e0fff"
)
# Joiners and variation selectors. Persian, Indic and Japanese names have them, and
# emoji. Behind anything but a letter or a symbol beyond Cyrillic they do nothing, nor
# do joiners before anything else.
_SHAPING: Final = "\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
_SHAPED: Final = (
    "\u0590-\u061b\u061d-\u115e\u1161-\u17b3\u17b6-\u180d\u180f-\u1fff"
    "\u2100-\u2fff\u3001-\u3163\u3165-\ud7ff\uf900-\ufefe\uff66-\uff9f\uffa1-\uffdc"
    "\U00010000-\U0001bc9f\U0001bca4-\U0001d172\U0001d17b-\U000dffff"
    "\U000e0100-\U000e01ef"
)
_UNSEEN: Final = re.compile(
    f"[{_INVISIBLE}]|(?<![{_SHAPED}])[{_SHAPING}]|[\u200c\u200d](?![{_SHAPED}])"
)

_QUOTES_AND_HYPHENS: Final = str.maketrans(
    "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2010\u2011\u2212",
    "''''\"\"\"\"---",
)
_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ALIKE: Final = _QUOTES_AND_HYPHENS | _FULL_WIDTH

# A symbol of braille without a dot.
BLANK_BRAILLE: Final = "\u2800"

# NFC takes time with the square of the marks in a row: 10 s for 100,000. A short answer
# is never longer, even when folding has made three characters of each.
_LONGEST_WORD: Final = 1_500


def without_unseen(text: str) -> str:
    """Drop what has no shape of its own and gives none to what it follows."""
    return _UNSEEN.sub("", text)


def is_visible(text: str) -> bool:
    """Say whether there is a letter, a number, punctuation or a symbol."""
    return any(
        unicodedata.category(each)[0] in "LNPS" and each != BLANK_BRAILLE
        for each in without_unseen(text)
    )


def as_read(text: str) -> str:
    """Return what texts share that read the same.

    Nothing invisible, quotes and hyphens plain, full-width forms narrow, NFC, ends
    trimmed and white space collapsed. A word of more than 1,500 characters is none,
    and keeps its form.
    """
    words = without_unseen(text).translate(_ALIKE).split()
    return " ".join(
        unicodedata.normalize("NFC", word) if len(word) <= _LONGEST_WORD else word
        for word in words
    )
