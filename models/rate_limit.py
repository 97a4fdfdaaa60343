"""The rate_limits table: hits of a key in its current window. Unlogged, unaudited."""

from dataclasses import dataclass

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    hits: int
    # By the database's clock. When that will be is for a host to say, by its own.
    seconds_left: float


# After a clock went back, windows of before would last until it is where it was: none
# ends later than one that begins now, and to who is not counted anew it is over.
HIT = """
    INSERT INTO rate_limits AS kept (key, hits, expires_at, seconds)
    VALUES (%(key)s, %(amount)s,
            clock_timestamp() + make_interval(secs => %(seconds)s), %(seconds)s)
    ON CONFLICT (key) DO UPDATE
       SET hits = excluded.hits + CASE WHEN kept.expires_at > clock_timestamp()
                                       THEN kept.hits ELSE 0 END,
           expires_at = CASE WHEN kept.expires_at > clock_timestamp()
                             THEN LEAST(kept.expires_at, excluded.expires_at)
                             ELSE excluded.expires_at END,
           seconds = excluded.seconds
    RETURNING hits,
              extract(epoch FROM expires_at - clock_timestamp())::float8 AS seconds_left
"""

GET = """
    SELECT hits,
           extract(epoch FROM expires_at - clock_timestamp())::float8 AS seconds_left
      FROM rate_limits
     WHERE key = %(key)s AND expires_at > clock_timestamp()
       AND expires_at <= clock_timestamp() + make_interval(secs => seconds)
"""

CLEAR = "DELETE FROM rate_limits WHERE key = %(key)s"

CLEAR_ALL = "DELETE FROM rate_limits"

# Not clock_timestamp(), which can't be looked up in the index.
PRUNE = "DELETE FROM rate_limits WHERE expires_at <= statement_timestamp()"


def hit(tx: Transaction, key: str, amount: int, seconds: int) -> Window:
    """Count `amount` hits in the window that runs, or begin a new one."""
    return tx.one(Window, HIT, {"key": key, "amount": amount, "seconds": seconds})


def get(tx: Transaction, key: str) -> Window | None:
    return tx.one_or_none(Window, GET, {"key": key})


def clear(tx: Transaction, key: str) -> None:
    tx.execute(CLEAR, {"key": key})


def clear_all(tx: Transaction) -> int:
    return tx.execute(CLEAR_ALL)


def prune(tx: Transaction) -> int:
    return tx.execute(PRUNE)
