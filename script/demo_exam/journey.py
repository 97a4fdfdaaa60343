"""A student's exam day: he logs in, waits, starts, writes, and submits or does not."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from uuid import UUID

from script.demo_behaviours import Behaviour, Plan
from script.demo_exam.cast import Fate, Student
from script.demo_exam.client import Client, UnexpectedAnswerError
from script.demo_exam.clock import ExamClock
from script.demo_exam.device import OVERTAKEN, Device, Ledger
from script.demo_exam.link import BAD, FAIR, Link, StoppedError
from script.demo_exam.pace import Pace
from script.demo_exam.proctor import Proctor
from script.demo_exam.questions import Asked
from script.demo_exam.replies import AvailableExam, PageOf, Paper, Receipt
from script.demo_exam.traffic import Traffic

PASSWORD = "forty-eight good questions"  # noqa: S105 (of people who do not exist)
# Nobody clicks at the very first moment.
LATEST_START_LIFE_SECONDS = 90.0
# When a laptop dies, as a share of the exam; how long it is away, and how long it takes
# until its owner has told the proctor.
DIES_AFTER = 0.35
AWAY_LIFE_SECONDS = 360.0
TOLD_AFTER_LIFE_SECONDS = 60.0
# The server opens an exam at its time, and ends an attempt some seconds after its
# deadline, both by itself.
OPENED_WITHIN_SECONDS = 30.0
ENDED_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.4


class Stage(StrEnum):
    EXPECTED = "expected"
    WAITING = "waiting"
    WRITING = "writing"
    OFFLINE = "offline"
    LAPTOP_DEAD = "laptop dead"
    SUBMITTED = "submitted"
    ENDED = "ended by clock"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """An exam as its students find it."""

    exam_id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime
    questions: Sequence[Asked]
    proctor: Proctor


@dataclass(slots=True)
class Journey:
    student: Student
    port: int
    pace: Pace
    traffic: Traffic
    stop: threading.Event
    chance: Random
    stage: Stage = Stage.EXPECTED
    error: str | None = None
    ledger: Ledger = field(default_factory=Ledger)
    # When his last answer was acknowledged, by the server's clock.
    wrote_last_at: datetime | None = None
    deadline_at: datetime | None = None
    # How much later the deadline was when the dead laptop's owner was back.
    regained_seconds: float = 0.0
    sitting: Sitting | None = None
    # What he has in his hands at the end.
    _last_device: Device | None = None

    def log_in(self) -> Device:
        """Arrive, with a device and a login of its own."""
        is_bad = self.student.behaviour is Behaviour.BAD_NETWORK
        link = Link(self.traffic, self.stop, BAD if is_bad else FAIR, self.chance)
        client = Client(self.port, link)
        client.log_in(self.student.email, PASSWORD)
        if self.stage is Stage.EXPECTED:
            self.stage = Stage.WAITING
        return Device(client, self.ledger, self.chance, OVERTAKEN if is_bad else 0.0)

    def sit(self, device: Device, sitting: Sitting, plan: Plan) -> None:
        """Play a plan, whose times are real seconds, from the start of the exam on."""
        self.sitting = sitting
        try:
            self._wait_for_start(device, sitting)
            paper = device.start(sitting.exam_id)
            self.deadline_at = paper.deadline_at
            clock = ExamClock.of(paper)
            device = self._write(device, sitting, plan, clock)
            self._finish(device, clock)
            self._last_device = device
        except StoppedError:
            return
        except UnexpectedAnswerError as error:
            self.stage, self.error = Stage.FAILED, str(error)

    def ask_again(self) -> Receipt:
        """Submit once more, which changes nothing."""
        if self._last_device is None:
            raise UnexpectedAnswerError(f"{self.student.full_name} has no attempt")
        return self._last_device.submit()

    def _wait_for_start(self, device: Device, sitting: Sitting) -> None:
        while not self._can_start(device, sitting):
            left = (sitting.starts_at - datetime.now(UTC)).total_seconds()
            if left < -OPENED_WITHIN_SECONDS:
                raise UnexpectedAnswerError("the exam does not open")
            device.client.link.wait(max(POLL_SECONDS, left))
        latest = self.pace.real(LATEST_START_LIFE_SECONDS)
        device.client.link.wait(self.chance.uniform(0, latest))

    def _can_start(self, device: Device, sitting: Sitting) -> bool:
        path = "/api/exams/available"
        page = device.client.get(PageOf[AvailableExam], path)
        return any(e.can_start for e in page.items if e.id == sitting.exam_id)

    def _write(
        self, device: Device, sitting: Sitting, plan: Plan, clock: ExamClock
    ) -> Device:
        """Live through the plan. Returns the device that he has at its end."""
        self.stage = Stage.WRITING
        events, answers = list(plan.events), list(plan.answers)
        leaves_at = self._leaves_at(plan)
        dies_at = self._dies_at()
        next_report = self.chance.uniform(0, self.pace.report_seconds)
        while clock.offset < leaves_at and clock.seconds_left > 0:
            now = clock.offset
            while events and events[0].offset_seconds <= now:
                event = events.pop(0)
                device.observe(event, clock.moment(event.offset_seconds))
            while answers and answers[0].offset_seconds <= now:
                answer = answers.pop(0)
                asked = sitting.questions[answer.question_index]
                device.write(asked.question.id, asked.response(answer.wrong_variant))
            is_offline = any(
                outage.start_seconds <= now < outage.end_seconds
                for outage in plan.outages
            )
            self.stage = Stage.OFFLINE if is_offline else Stage.WRITING
            if not is_offline:
                self.wrote_last_at = device.save() or self.wrote_last_at
                if now >= next_report:
                    device.report(clock.moment(now))
            if now >= next_report:
                next_report = now + self.pace.report_seconds
            if now >= dies_at:
                dies_at = float("inf")
                device = self._lose_laptop(device, sitting, clock)
            first_answer = answers[0].offset_seconds if answers else leaves_at
            wake = min(next_report, first_answer, leaves_at)
            device.client.link.wait(min(wake - clock.offset, clock.seconds_left))
        return device

    def _leaves_at(self, plan: Plan) -> float:
        if self.student.fate is Fate.NEVER_SUBMITS:
            return float("inf")
        # He reads through it once more.
        rest = self.pace.real(self.chance.uniform(20, 200))
        return plan.answers[-1].offset_seconds + rest

    def _dies_at(self) -> float:
        if self.student.fate is not Fate.LAPTOP_DIES:
            return float("inf")
        return DIES_AFTER * self.pace.real(self.pace.life_seconds)

    def _lose_laptop(
        self, device: Device, sitting: Sitting, clock: ExamClock
    ) -> Device:
        """Fall silent, have the proctor stop the clock, and go on with another one."""
        # What it had seen is out; what it sees no more can not be reported.
        device.flush()
        device.client.hang_up()
        self.stage = Stage.LAPTOP_DEAD
        began, before = time.monotonic(), self.deadline_at
        link = device.client.link
        link.wait(self.pace.real(TOLD_AFTER_LIFE_SECONDS))
        sitting.proctor.pause(device.attempt_id, "The laptop has died.")
        link.wait(self.pace.real(AWAY_LIFE_SECONDS - TOLD_AFTER_LIFE_SECONDS))
        another = self.log_in()
        # The old login still holds the attempt, so he has to say that he takes it over.
        another.be_refused(sitting.exam_id)
        another.start(sitting.exam_id, take_over=True)
        sitting.proctor.resume(device.attempt_id, "Back on a borrowed laptop.")
        paper = another.read_attempt()
        clock.come_back(time.monotonic() - began, paper)
        self.deadline_at = paper.deadline_at
        if before is not None:
            self.regained_seconds = (paper.deadline_at - before).total_seconds()
        self.stage = Stage.WRITING
        return another

    def _finish(self, device: Device, clock: ExamClock) -> None:
        if self.student.fate is Fate.NEVER_SUBMITS:
            self._be_ended(device, clock)
        else:
            device.save()
            device.flush()
        # Of an attempt that the clock has ended, this gives the receipt too.
        receipt = device.submit()
        self.ledger.receipt = receipt
        device.flush()
        is_own_end = receipt.attempt.ended_by == "student"
        self.stage = Stage.SUBMITTED if is_own_end else Stage.ENDED

    def _be_ended(self, device: Device, clock: ExamClock) -> None:
        """Do nothing; the server ends the attempt without being asked."""
        paper: Paper = device.read_attempt()
        while paper.ended_at is None:
            if clock.seconds_left < -ENDED_WITHIN_SECONDS:
                raise UnexpectedAnswerError("the server has not ended the attempt")
            device.client.link.wait(POLL_SECONDS)
            paper = device.read_attempt()
