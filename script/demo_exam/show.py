"""The whole course: prepare, let them all sit their exams, see what the server says."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from script.demo_behaviours import Plan
from script.demo_exam import preparation
from script.demo_exam.cast import Student, cast
from script.demo_exam.client import Client, UnexpectedAnswerError
from script.demo_exam.device import Device
from script.demo_exam.journey import Journey, Sitting
from script.demo_exam.link import Link
from script.demo_exam.options import Options
from script.demo_exam.pace import Pace
from script.demo_exam.plans import draw_plans
from script.demo_exam.preparation import Draft
from script.demo_exam.proctor import Proctor
from script.demo_exam.questions import planned, subjects
from script.demo_exam.replies import Exam, Suspect
from script.demo_exam.traffic import Traffic

# The sweepers close an exam and analyse its attempts within some seconds.
SETTLED_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.5
STOPPED_WITHIN_SECONDS = 5.0


@dataclass(slots=True)
class Show:
    options: Options
    port: int
    pace: Pace
    traffic: Traffic = field(default_factory=Traffic)
    stop: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    phase: str = "preparing"
    journeys: list[Journey] = field(default_factory=list)
    sittings: list[Sitting] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def link(self) -> Link:
        return Link(self.traffic, self.stop)

    def play(self) -> Client:
        """Play all of it; return the admin's client. Raises UnexpectedAnswerError."""
        admin = preparation.log_in_admin(self.port, self.link)
        self.phase = "three proctors are hired, three exams made of GIFT text"
        proctors = [preparation.hire(admin, each) for each in preparation.PROCTORS]
        drafts = [
            preparation.draft(admin, subject, proctor, self.pace)
            for subject, proctor in zip(subjects(), proctors, strict=True)
        ]
        students = cast(self.options.students, self.options.seed)
        self.phase = f"{len(students)} students register"
        preparation.at_once(self._register, students)
        for index, made in enumerate(drafts):
            preparation.assign(admin, made, _of_exam(students, index))
        self.phase = f"{len(students)} students log in (bcrypt, 12 rounds)"
        self.journeys = [self._journey(student) for student in students]
        devices: dict[int, Device] = {}
        preparation.at_once(
            lambda each: devices.update({each.student.number: each.log_in()}),
            self.journeys,
        )
        self.phase = "the exams are scheduled, and open by the clock"
        self._begin(admin, drafts, devices)
        self.phase = "the exams take place"
        self._wait_for_students()
        self.phase = "the exams close by the clock; risks settle"
        self._settle(admin, proctors)
        self.phase = "proctors grade the essays"
        for sitting in self.sittings:
            self._grade(sitting)
        return admin

    def end(self) -> None:
        """Stop all threads."""
        self.stop.set()
        for thread in self._threads:
            thread.join(STOPPED_WITHIN_SECONDS)

    def of_exam(self, sitting: Sitting) -> list[Journey]:
        index = self.sittings.index(sitting)
        return [each for each in self.journeys if each.student.exam_index == index]

    def suspects(self) -> list[Suspect]:
        """Return what the proctors see, the highest risk first."""
        seen = [each for sitting in self.sittings for each in sitting.proctor.suspects]
        return sorted(seen, key=lambda each: -each.risk_score)

    def _register(self, student: Student) -> None:
        preparation.register(self.port, self.link, student)

    def _journey(self, student: Student) -> Journey:
        return Journey(
            student=student,
            port=self.port,
            pace=self.pace,
            traffic=self.traffic,
            stop=self.stop,
            chance=Random(f"{self.options.seed}:{student.number}"),  # noqa: S311
        )

    def _begin(
        self, admin: Client, drafts: Sequence[Draft], devices: Mapping[int, Device]
    ) -> None:
        students = [each.student for each in self.journeys]
        plans: dict[int, Plan] = {}
        for index, made in enumerate(drafts):
            sitting = preparation.schedule(admin, made, index)
            self.sittings.append(sitting)
            rng = Random(f"{self.options.seed}:questions:{index}")  # noqa: S311
            plans |= draw_plans(
                _of_exam(students, index),
                planned(sitting.questions, rng),
                self.pace,
                self.options.seed,
            )
        for journey in self.journeys:
            number = journey.student.number
            sitting = self.sittings[journey.student.exam_index]
            self._run(journey.sit, devices[number], sitting, plans[number])
        for sitting in self.sittings:
            self._run(sitting.proctor.watch)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait_for_students(self) -> None:
        for thread in self._threads[: len(self.journeys)]:
            thread.join()

    def _settle(self, admin: Client, proctors: Sequence[Proctor]) -> None:
        """Wait until the server has closed the exams and judged every attempt."""
        give_up_at = time.monotonic() + SETTLED_WITHIN_SECONDS
        while waiting := [
            p for proctor in proctors for p in _open_ends(admin, proctor)
        ]:
            self.phase = f"the exams close by the clock ({waiting[0]})"
            if time.monotonic() > give_up_at:
                raise UnexpectedAnswerError(
                    f"{SETTLED_WITHIN_SECONDS:g} s after the last student left: "
                    + ", ".join(waiting)
                )
            admin.link.wait(POLL_SECONDS)

    def _grade(self, sitting: Sitting) -> None:
        for each in sitting.proctor.board:
            sitting.proctor.grade_essays(each.id)


def _of_exam(students: Sequence[Student], index: int) -> list[Student]:
    return [each for each in students if each.exam_index == index]


def _open_ends(admin: Client, proctor: Proctor) -> list[str]:
    """Say what the server still has to do for an exam that is over."""
    status = admin.get(Exam, f"/api/exams/{proctor.exam_id}").status
    if status != "completed":
        return [f"an exam is {status}"]
    proctor.look()
    ends = [each.ended_at for each in proctor.board if each.ended_at]
    # Only then was an attempt compared with all the others.
    judged = [each for each in proctor.suspects if each.checked_at >= max(ends)]
    missing = len(proctor.board) - len(judged)
    return [f"{missing} attempts not judged"] if missing else []
