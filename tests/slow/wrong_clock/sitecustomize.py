"""Lets Python sleep under libfaketime; found by way of PYTHONPATH.

Told to leave the monotonic clock alone, libfaketime 0.9.10 fails each clock_nanosleep
of that clock with EINVAL, which is what time.sleep is made of. select waits as well.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
