"""Who does what at which second: drawn before anything is sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

BEAT_SECONDS = 15.0
SAVE_SECONDS = 30.0
# So long before he starts, at most, a student looks at the list of his exams.
LOOK_SECONDS = 8.0
# Access tokens last a quarter of an hour; most clients ask for new ones before that.
REFRESH_SECONDS = 180.0
RELOAD_SECONDS = 240.0
# Of staff, each looks at something so often, however dense the students' lives are.
WATCH_SECONDS = 4.0


class Action(StrEnum):
    LOG_IN = "POST auth/login"
    LOOK = "GET exams/available"
    START = "POST exams/…/start"
    BEAT = "POST proctoring/events"
    SAVE = "PUT attempts/…/answers"
    SUBMIT = "POST attempts/…/submit"
    REFRESH = "POST auth/refresh"
    RELOAD = "GET attempts/…"
    LOG_OUT = "POST auth/logout"
    WATCH = "GET by staff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the morning, in seconds from its beginning."""

    name: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One morning. A phase of no seconds does not take place.

    `compression` divides the time that students take between requests: 1 is life, 10
    has each of them do in one minute what takes ten.
    """

    name: str
    students: int
    # 0: they have logged in before, and have tokens.
    log_in_seconds: float = 0.0
    start_seconds: float = 60.0
    # They want to start within so long of it; 0: at any moment of it.
    rush_seconds: float = 0.0
    work_seconds: float = 60.0
    # So many more, who have no exam, log in while the others go on working.
    storm_logins: int = 0
    storm_seconds: float = 0.0
    submit_seconds: float = 0.0
    # Students come at any moment of so long, and each stays for `stay_seconds`.
    come_and_go_seconds: float = 0.0
    stay_seconds: float = 0.0
    # One exam after another, each for as many of the students.
    exams: int = 1
    compression: float = 1.0
    # Whether students start when the waiting room says, and send less while the server
    # asks for that (docs/decisions/0017-start-rush.md).
    is_polite: bool = True
    seed: int = 1

    @property
    def phases(self) -> Sequence[Phase]:
        named = (
            ("log in", self.log_in_seconds),
            ("start", self.start_seconds),
            ("work", self.work_seconds),
            ("storm", self.storm_seconds),
            ("submit", self.submit_seconds),
            ("come and go", self.come_and_go_seconds),
        )
        phases = []
        begins = 0.0
        for name, seconds in named:
            if seconds > 0:
                ends = begins + seconds
                phases.append(Phase(name=name, begins=begins, ends=ends))
                begins = ends
        return phases

    @property
    def has_logins(self) -> bool:
        """Whether students log in themselves; otherwise they did so before."""
        return self.log_in_seconds > 0 or self.come_and_go_seconds > 0

    def phase(self, name: str) -> Phase:
        return next(phase for phase in self.phases if phase.name == name)


@dataclass(frozen=True, slots=True)
class Appointment:
    at: float
    action: Action


Timetable = Sequence[Appointment]


def draw(plan: Plan) -> tuple[list[Timetable], list[Timetable]]:
    """Return what each student does, and then what each of the storm does."""
    rng = Random(plan.seed)
    draw_one = _visitor if plan.come_and_go_seconds else _student
    students = [draw_one(plan, rng) for _ in range(plan.students)]
    if plan.exams > 1:
        # Who sits the first exam comes first.
        students.sort(key=lambda timetable: timetable[0].at)
    crowd: list[Timetable] = []
    if plan.storm_logins:
        storm = plan.phase("storm")
        # They come in the first half, so that there is always somebody who waits.
        crowd = [
            [Appointment(storm.begins + share / 2 * plan.storm_seconds, Action.LOG_IN)]
            for share in (n / plan.storm_logins for n in range(plan.storm_logins))
        ]
    return students, crowd


def _student(plan: Plan, rng: Random) -> Timetable:
    does = []
    if plan.log_in_seconds:
        does.append(Appointment(rng.uniform(0, plan.log_in_seconds), Action.LOG_IN))
    start = plan.phase("start")
    last = start.begins + (plan.rush_seconds or plan.start_seconds)
    starts_at = rng.uniform(start.begins, last)
    earliest = max(start.begins, starts_at - LOOK_SECONDS / plan.compression)
    looks_at = rng.uniform(earliest, starts_at)
    does += [Appointment(looks_at, Action.LOOK), Appointment(starts_at, Action.START)]
    hands_in = [phase for phase in plan.phases if phase.name == "submit"]
    ends_at = plan.phases[-1].ends
    if hands_in:
        ends_at = rng.uniform(hands_in[0].begins, hands_in[0].ends)
        does.append(Appointment(ends_at, Action.SUBMIT))
    does += _work(plan, rng, starts_at, ends_at)
    return sorted(does, key=lambda each: each.at)


def _visitor(plan: Plan, rng: Random) -> Timetable:
    """All of an exam within a stay, which may begin at any moment."""
    phase = plan.phase("come and go")
    comes_at = rng.uniform(phase.begins, phase.ends - plan.stay_seconds)
    looks_at = comes_at + LOOK_SECONDS / plan.compression
    starts_at = looks_at + LOOK_SECONDS / plan.compression
    ends_at = comes_at + plan.stay_seconds
    does = [
        Appointment(comes_at, Action.LOG_IN),
        Appointment(looks_at, Action.LOOK),
        Appointment(starts_at, Action.START),
        *_work(plan, rng, starts_at, ends_at),
        *_again(REFRESH_SECONDS, Action.REFRESH, starts_at, ends_at, plan, rng),
        *_again(RELOAD_SECONDS, Action.RELOAD, starts_at, ends_at, plan, rng),
        Appointment(ends_at, Action.SUBMIT),
    ]
    return [*sorted(does, key=lambda e: e.at), Appointment(ends_at, Action.LOG_OUT)]


def draw_shift(plan: Plan) -> Timetable:
    """Return what somebody of the staff does, for as long as students come and go."""
    rng = Random(plan.seed)
    phase = plan.phase("come and go")
    at_life_speed = replace(plan, compression=1.0)
    edges = phase.begins, phase.ends
    does = [
        Appointment(phase.begins, Action.LOG_IN),
        *_again(WATCH_SECONDS, Action.WATCH, *edges, at_life_speed, rng),
        *_again(REFRESH_SECONDS, Action.REFRESH, *edges, at_life_speed, rng),
    ]
    return sorted(does, key=lambda each: each.at)


def _work(
    plan: Plan, rng: Random, starts_at: float, ends_at: float
) -> Iterator[Appointment]:
    for action, every in ((Action.BEAT, BEAT_SECONDS), (Action.SAVE, SAVE_SECONDS)):
        yield from _again(every, action, starts_at, ends_at, plan, rng)


def _again(
    every: float, action: Action, begins: float, ends: float, plan: Plan, rng: Random
) -> Iterator[Appointment]:
    period = every / plan.compression
    at = begins + rng.uniform(0, period)
    while at < ends:
        yield Appointment(at, action)
        at += period
