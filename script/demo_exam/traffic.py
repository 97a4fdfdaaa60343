"""What goes over the wire, counted by all clients together."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace

WINDOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    requests: int = 0
    # Sent again: no answer came, or the one that came was lost.
    repeated: int = 0
    # The server asked to come back later (429 or 503 with Retry-After).
    asked_to_wait: int = 0
    server_errors: int = 0
    # What bad networks did.
    dropped: int = 0
    replies_lost: int = 0
    delayed: int = 0
    # What became of events and answers.
    events_accepted: int = 0
    events_duplicate: int = 0
    events_rejected: int = 0
    answers_saved: int = 0
    refreshes: int = 0


@dataclass(slots=True)
class Traffic:
    """Counts of many threads, and how fast the last answers came."""

    counts: Counts = field(default_factory=Counts)
    # Moments and milliseconds of the last answers.
    recent: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=4000)
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, amount: int = 1) -> None:
        with self.lock:
            value = getattr(self.counts, name) + amount
            self.counts = replace(self.counts, **{name: value})

    def answered(self, seconds: float) -> None:
        with self.lock:
            self.counts = replace(self.counts, requests=self.counts.requests + 1)
            self.recent.append((time.monotonic(), seconds * 1000))

    def per_second(self) -> float:
        return len(self._window()) / WINDOW_SECONDS

    def percentile_ms(self, share: float) -> float:
        values = sorted(self._window())
        return values[int(share * (len(values) - 1))] if values else 0.0

    def _window(self) -> list[float]:
        since = time.monotonic() - WINDOW_SECONDS
        with self.lock:
            return [
                milliseconds for moment, milliseconds in self.recent if moment > since
            ]
