"""The idempotency_keys table: the first answer to a key, kept for a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    body_hash: bytes
    # None between the commit of the work and the keeping of its answer.
    status: int | None
    body: str | None
    headers: Mapping[str, str]


GET = """
    SELECT body_hash, status, body, headers FROM idempotency_keys
     WHERE scope = %(scope)s AND route = %(route)s AND key = %(key)s
       AND created_at > clock_timestamp() - interval '1 day'
"""

CLAIM = """
    INSERT INTO idempotency_keys (scope, route, key, body_hash)
    VALUES (%(scope)s, %(route)s, %(key)s, %(body_hash)s)
    ON CONFLICT (scope, route, key) DO UPDATE
       SET body_hash = excluded.body_hash, status = NULL, body = NULL,
           headers = '{}', created_at = clock_timestamp()
     WHERE idempotency_keys.created_at <= clock_timestamp() - interval '1 day'
"""

KEEP = """
    UPDATE idempotency_keys
       SET status = %(status)s, body = %(body)s, headers = %(headers)s
     WHERE scope = %(scope)s AND route = %(route)s AND key = %(key)s
"""

# An address may have it in capitals.
FORGET = """
    DELETE FROM idempotency_keys
     WHERE EXISTS (SELECT FROM unnest(%(attempt_ids)s::text[]) AS its(id)
                    WHERE position(its.id IN lower(concat(route, body))) > 0)
"""

# statement_timestamp() can be looked up in the index, which clock_timestamp() can't.
PRUNE = """
    DELETE FROM idempotency_keys
     WHERE created_at <= statement_timestamp() - interval '1 day'
"""


def get(tx: Transaction, scope: str, route: str, key: str) -> KeptAnswer | None:
    return tx.one_or_none(KeptAnswer, GET, {"scope": scope, "route": route, "key": key})


def claim(tx: Transaction, scope: str, route: str, key: str, body_hash: bytes) -> bool:
    """Take the key, and return False if somebody has it. Waits for one in flight."""
    names = {"scope": scope, "route": route, "key": key, "body_hash": body_hash}
    return tx.execute(CLAIM, names) == 1


def keep(
    tx: Transaction,
    scope: str,
    route: str,
    key: str,
    *,
    status: int,
    body: str,
    headers: Mapping[str, str],
) -> None:
    names = {"scope": scope, "route": route, "key": key}
    answer = {"status": status, "body": body, "headers": dict(headers)}
    tx.execute(KEEP, names | answer)


def prune(tx: Transaction) -> int:
    return tx.execute(PRUNE)


def forget(tx: Transaction, attempt_ids: Sequence[UUID]) -> None:
    """Drop all answers about attempts, and that there were such."""
    tx.execute(FORGET, {"attempt_ids": [str(each) for each in attempt_ids]})
