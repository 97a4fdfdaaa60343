r"""How a person is found in text that others have written.

By his e-mail address and by his full name, as whole words and in any case of letters.
Text may be that of a JSON document, where a line break is `\n`.
"""

import re
from typing import Final

from models.erasure import Person
from utils.blockchain_hasher import canonical_json

# Regular expressions of PostgreSQL. What is part of an address is no end of one.
BEFORE: Final = r"(^|[^[:alnum:]]|\\[bfnrt])"
AFTER: Final = r"($|[^[:alnum:]])"
BEFORE_ADDRESS: Final = r"(^|[^[:alnum:].!#$%&'*+/=?^_{|}~-]|\\[bfnrt])"
AFTER_ADDRESS: Final = r"($|[^[:alnum:].-]|[.]($|[^[:alnum:]]))"


def mention_pattern(person: Person) -> str:
    """Return a regular expression of PostgreSQL, for `~*`."""
    addresses = "|".join(map(_escaped, sorted(_addresses(person))))
    names = "|".join(map(_escaped, sorted(_names(person))))
    return f"{BEFORE_ADDRESS}({addresses}){AFTER_ADDRESS}|{BEFORE}({names}){AFTER}"


def is_mentioned(person: Person, text: str) -> bool:
    """Tell whether a text contains an address of a person, or the name, as words."""
    return any(
        re.search(rf"(?<!\w){re.escape(each)}(?!\w)", text, re.IGNORECASE)
        for each in _addresses(person) | _names(person)
    )


def _addresses(person: Person) -> set[str]:
    return {person.email, person.email_canonical}


def _names(person: Person) -> set[str]:
    # Quotes and backslashes are written otherwise in JSON.
    in_json = canonical_json({"": person.full_name})[len('{"":"') : -len('"}')]
    return {person.full_name, in_json}


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)
