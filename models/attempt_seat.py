"""What of a running attempt belongs to its paper, in one reading."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.attempt import PlacedQuestion
from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    layout: list[PlacedQuestion]
    # The number that the client gives its next event.
    next_sequence: int
    exam_version: int
    frozen_at: datetime | None


GET: LiteralString = """
    SELECT attempts.layout, attempt_activity.highest_sequence + 1 AS next_sequence,
           exams.version AS exam_version, exams.frozen_at
      FROM attempts
      JOIN attempt_activity ON attempt_activity.attempt_id = attempts.id
      JOIN exams ON exams.id = attempts.exam_id
     WHERE attempts.id = %(attempt_id)s
"""


def get(tx: Transaction, attempt_id: UUID) -> Seat:
    return tx.one(Seat, GET, {"attempt_id": attempt_id})
