"""What an entry's payload is shown as, whoever has written it."""

from pydantic import JsonValue
from pydantic_core import from_json


def shown(payload: str) -> dict[str, JsonValue] | str:
    """Return the JSON object that it is the text of, or else the text itself.

    All that we write is an object. Who owns the database can put anything there, and
    those who look at the log have to see it.
    """
    try:
        found = from_json(payload, allow_inf_nan=False)
    except ValueError:
        return payload
    return found if isinstance(found, dict) else payload
