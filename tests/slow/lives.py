"""What an attempt must be after whatever was done to it, worked out a second time.

Written from docs/decisions/0007 and 0008, without the code: how much time is left,
which device may write, which answers are stored, what they are worth, what is allowed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from uuid import UUID

from models.principal import Principal

RUNNING = ("in_progress", "paused")
ENDED = ("submitted", "terminated")
LEEWAY = 2
NOTICE = 60
# What a rounded second, and a slow machine between two looks, may make of a clock.
TOLERANCE = 5


@dataclass(eq=False)
class Device:
    """One login of a student."""

    principal: Principal
    token: str
    is_alive: bool = True


@dataclass
class Student:
    devices: list[Device]
    extra_minutes: int
    lives: list["Life"] = field(default_factory=list)

    @property
    def running(self) -> "Life | None":
        return next((life for life in self.lives if life.is_running), None)


@dataclass
class Answer:
    response: object
    version: int
    # By hand, or None.
    points: float | None = None


@dataclass(eq=False)
class Life:
    """An attempt. `_left` are the seconds that it had at `_looked_at`."""

    id: UUID
    student: Student
    holder: Device
    _left: float
    status: str = "in_progress"
    ended_by: str | None = None
    extended: int = 0
    notice: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    # By the client's id: type and sequence.
    events: dict[str, tuple[str, int]] = field(default_factory=dict)
    sequences: Iterator[int] = field(default_factory=lambda: count(1))
    incidents: set[str] = field(default_factory=set)
    receipt: object = None
    _looked_at: float = field(default_factory=time.monotonic)
    # Since its start, by the time machine.
    passed: float = 0
    _ended_at: float = 0
    _passed_at_end: float = 0

    @property
    def is_running(self) -> bool:
        return self.status in RUNNING

    @property
    def left(self) -> float:
        """Seconds until the deadline, negative after it; a pause stops them."""
        if self.status == "in_progress":
            return self._left - (time.monotonic() - self._looked_at)
        return self._left

    @property
    def is_overdue(self) -> bool:
        return self.status == "in_progress" and self.left < -LEEWAY

    @property
    def ended_ago(self) -> float:
        return time.monotonic() - self._ended_at + self.passed - self._passed_at_end

    @property
    def numbers(self) -> set[int]:
        return {sequence for _, sequence in self.events.values()}

    def pass_time(self, seconds: float) -> None:
        self.passed += seconds
        if self.status == "in_progress":
            self._set_left(self.left - seconds)

    def become(self, status: str) -> None:
        self._set_left(self.left)
        self.status = status

    def end(self, status: str, ended_by: str) -> None:
        self.become(status)
        self.ended_by = ended_by
        self._ended_at, self._passed_at_end = time.monotonic(), self.passed
        if ended_by == "deadline" and self._left < 0:
            # It was over then, whoever came to note it now.
            self._passed_at_end += self._left
            self._left = 0

    def extend(self, seconds: int) -> None:
        self._set_left(self.left + seconds)
        self.extended += seconds

    def move(self, seconds: int) -> None:
        """What is granted has changed by so much; nobody loses all of a sudden."""
        before = self.left
        entitled = before - self.notice + seconds
        kept = before if seconds >= 0 else min(before, NOTICE)
        self.notice = max(0, ceil(kept - entitled))
        self._set_left(entitled + self.notice)

    def grant_afterwards(self, seconds: int) -> None:
        """What is granted after the end counts once it is reopened."""
        self._left += seconds

    def reopen(self, extra_seconds: int) -> None:
        """The time since the end was a pause."""
        self._set_left(self._left + extra_seconds)
        self.status, self.ended_by = "in_progress", None
        self.extended += extra_seconds
        self.receipt = None
        for answer in self.answers.values():
            answer.points = None

    def believe(self, left: float, at_least: float = 0) -> None:
        """Take over what is said, within bounds: the closed window took some of it."""
        assert at_least - TOLERANCE < left < self.left + TOLERANCE
        self._set_left(left)

    def _set_left(self, left: float) -> None:
        self._left, self._looked_at = left, time.monotonic()
