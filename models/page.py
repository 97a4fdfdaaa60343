"""One page of a list, by keyset: no OFFSET, so no row is doubled or skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Row = TypeVar("Row")
# Below and above every number of a row, for lists that begin with the oldest or newest.
FROM_THE_OLDEST: Final = -1
FROM_THE_NEWEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Up to a limit of rows, and the key of the last if more follow."""

    items: Sequence[Row]
    # The sort key of the last item, as the route's cursor type; None at the end.
    next_key: tuple[object, ...] | None


def paged(
    rows: Sequence[Row], limit: int, key: Callable[[Row], tuple[object, ...]]
) -> Page[Row]:
    """Make a page of rows that were read with LIMIT `limit` + 1."""
    items = rows[:limit]
    return Page(items, key(items[-1]) if len(rows) > limit else None)
