"""The way between a student's device and the server, which may be a bad one."""

import random
import threading
from dataclasses import dataclass, field
from enum import StrEnum

from script.demo_exam.traffic import Traffic


class LostOnTheWayError(Exception):
    """A request or its answer did not arrive."""


class StoppedError(Exception):
    """The demonstration is being ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Shares of requests that a network drops, whose answer it loses, or delays."""

    dropped: float = 0.0
    replies_lost: float = 0.0
    delayed: float = 0.0
    longest_delay_seconds: float = 0.4


FAIR = Weather()
BAD = Weather(dropped=0.06, replies_lost=0.06, delayed=0.15)


class Fate(StrEnum):
    DROPPED = "dropped"
    REPLY_LOST = "replies_lost"
    DELAYED = "delayed"
    ARRIVES = "arrives"


@dataclass(slots=True)
class Link:
    traffic: Traffic
    stop: threading.Event
    weather: Weather = FAIR
    chance: random.Random = field(default_factory=random.Random)

    def outward(self) -> Fate:
        """Decide what becomes of a request. Raises LostOnTheWayError."""
        fate = self._draw()
        if fate is not Fate.ARRIVES:
            self.traffic.count(fate)
        if fate is Fate.DROPPED:
            raise LostOnTheWayError
        if fate is Fate.DELAYED:
            self.wait(self.chance.uniform(0, self.weather.longest_delay_seconds))
        return fate

    def wait(self, seconds: float) -> None:
        """Wait, unless everything ends. Raises StoppedError."""
        if self.stop.wait(max(0.0, seconds)):
            raise StoppedError

    def _draw(self) -> Fate:
        drawn = self.chance.random()
        weather = self.weather
        for fate, share in (
            (Fate.DROPPED, weather.dropped),
            (Fate.REPLY_LOST, weather.replies_lost),
            (Fate.DELAYED, weather.delayed),
        ):
            if drawn < share:
                return fate
            drawn -= share
        return Fate.ARRIVES
