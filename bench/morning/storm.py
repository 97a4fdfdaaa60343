"""What bcrypt allows, and what a storm of logins leaves to everybody else."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from bench.morning.conductor import Outcome
from bench.morning.measures import Latency
from bench.morning.report import Record
from bench.morning.stage import PASSWORD
from bench.morning.timetable import Action

# The storm's first and last part are left out: it builds up, and it ebbs.
FROM, TO = 0.15, 0.95


def hashes_per_second(rounds: int, seconds: float = 5.0) -> float:
    """Check passwords on every core at once, with nothing else to do."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds))
    ends = time.monotonic() + seconds

    def check(_: int) -> int:
        done = 0
        while time.monotonic() < ends:
            bcrypt.checkpw(PASSWORD.encode(), hashed)
            done += 1
        return done

    cores = os.cpu_count() or 1
    began = time.monotonic()
    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(check, range(cores))) / (time.monotonic() - began)


def judge(outcome: Outcome, hashes: float) -> Record:
    """Compare events in the storm with events before it, and logins with hashes."""
    storm, work = outcome.plan.phase("storm"), outcome.plan.phase("work")
    length = storm.ends - storm.begins
    begins, ends = storm.begins + FROM * length, storm.begins + TO * length
    logins = [
        each
        for each in outcome.samples
        if each.action is Action.LOG_IN and begins <= each.done < ends and each.is_good
    ]
    quiet = Latency.of(outcome.samples_due_in(work, Action.BEAT))
    loud = Latency.of(outcome.samples_due_in(storm, Action.BEAT))
    cores = {seen.phase.name: seen.cores for seen in outcome.phases}
    # What the exam itself takes of the machine is not bcrypt's, nor what neighbours do.
    exam = sum(used for part, used in cores["work"].items() if part != "others")
    taken = (exam + cores["storm"]["others"]) / (os.cpu_count() or 1)
    left = max(0.01, 1 - taken)
    per_second = len(logins) / (ends - begins)
    return {
        "logins_per_second": round(per_second, 2),
        "of_bcrypt_on_all_cores": round(per_second / hashes, 2),
        "of_bcrypt_on_the_cores_left": round(per_second / (hashes * left), 2),
        "events_p99_quiet_ms": quiet.p99,
        "events_p99_storm_ms": loud.p99,
        "events_p99_ratio": round(loud.p99 / quiet.p99, 2),
    }
