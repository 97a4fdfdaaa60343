"""What is done before an exam, through HTTP: accounts, questions, assignments, time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from script.demo_exam.cast import Fate, Student
from script.demo_exam.client import Client
from script.demo_exam.journey import PASSWORD, Sitting
from script.demo_exam.link import Link
from script.demo_exam.pace import Pace
from script.demo_exam.proctor import Proctor
from script.demo_exam.questions import Subject, asked
from script.demo_exam.replies import Exam, KeyedQuestion, Nothing, PageOf, User
from script.serve import SEEDED_EMAIL, SEEDED_PASSWORD

ADMIN_PASSWORD = "sixteen of each, in order"  # noqa: S105 (for one demonstration)
FIRST_PASSWORD = "to be changed at once, please"  # noqa: S105 (nobody keeps it)
PROCTORS = ("Ada Okonkwo", "Bela Horvath", "Cora Nyberg")
# Each of two workers hashes one password at a time; more at once would wait there.
AT_ONCE = 4
# The exams open one after the other, which is easier to watch.
FIRST_STARTS_IN = timedelta(seconds=3)
NEXT_STARTS_AFTER = timedelta(seconds=2)
EXTRA_TIME = 1.5

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An exam that has everything but its time."""

    body: dict[str, object]
    exam: Exam
    questions: Sequence[KeyedQuestion]
    proctor: Proctor
    title: str


def log_in_admin(port: int, link: Link) -> Client:
    """Log in with the password that everybody knows, and change it, as asked."""
    client = Client(port, link)
    client.log_in(SEEDED_EMAIL, SEEDED_PASSWORD)
    _change_password(client, SEEDED_PASSWORD, ADMIN_PASSWORD)
    return client


def _change_password(client: Client, current: str, new: str) -> None:
    body = {"current_password": current, "new_password": new}
    client.send("POST", "/api/auth/change-password", body)


def hire(admin: Client, full_name: str) -> Proctor:
    """Make a proctor's account; he logs in and chooses his own password."""
    email = f"{full_name.split(maxsplit=1)[0].lower()}@proctors.example"
    account = {
        "email": email,
        "full_name": full_name,
        "role": "proctor",
        "password": FIRST_PASSWORD,
    }
    user = admin.create(User, "/api/users", account)
    client = Client(admin.port, admin.link)
    client.log_in(email, FIRST_PASSWORD)
    _change_password(client, FIRST_PASSWORD, PASSWORD)
    return Proctor(client, full_name, user.id)


def register(port: int, link: Link, student: Student) -> None:
    account = {
        "email": student.email,
        "full_name": student.full_name,
        "password": PASSWORD,
    }
    Client(port, link).create(User, "/api/auth/register", account)


def at_once(work: Callable[[Job], object], jobs: Sequence[Job]) -> None:
    """Do the work for all of them, a few at a time; the first failure is raised."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for done in [pool.submit(work, job) for job in jobs]:
            done.result()
    finally:
        # After a failure or Ctrl-C nobody waits for the rest.
        pool.shutdown(cancel_futures=True)


def draft(admin: Client, subject: Subject, proctor: Proctor, pace: Pace) -> Draft:
    """Make an exam with a category of the bundled questions."""
    body: dict[str, object] = {
        "title": subject.title,
        "description": f"Sixteen questions on {subject.title.lower()}.",
        "instructions": "Answer what you know. The essay comes last, or whenever.",
        "duration_minutes": pace.exam_minutes,
        "starts_at": None,
        "ends_at": None,
        "passing_score_percent": 50,
        "shuffle_questions": True,
        "shuffle_options": True,
        "max_attempts": 1,
        "proctoring": pace.policy().model_dump(mode="json", exclude_defaults=True),
    }
    made = admin.create(Exam, "/api/exams", body)
    path = f"/api/exams/{made.id}"
    text = {"Content-Type": "text/plain; charset=utf-8"}
    admin.send("POST", f"{path}/questions/import", subject.gift, headers=text)
    keyed = admin.get(PageOf[KeyedQuestion], f"{path}/questions")
    admin.create(Nothing, f"{path}/proctors", {"proctor_ids": [str(proctor.user_id)]})
    proctor.exam_id = made.id
    return Draft(
        body=body,
        exam=made,
        questions=keyed.items,
        proctor=proctor,
        title=subject.title,
    )


def assign(admin: Client, made: Draft, students: Sequence[Student]) -> None:
    """Assign students, those with extra time apart from the others."""
    path = f"/api/exams/{made.exam.id}/assignments"
    for has_more, multiplier in ((False, 1.0), (True, EXTRA_TIME)):
        emails = [s.email for s in students if (s.fate is Fate.EXTRA_TIME) is has_more]
        if emails:
            body = {"emails": emails, "time_multiplier": multiplier}
            admin.create(Nothing, path, body)


def schedule(admin: Client, made: Draft, index: int) -> Sitting:
    """Set the time of an exam, which from then on opens and closes by the clock."""
    path = f"/api/exams/{made.exam.id}"
    starts_at = datetime.now(UTC) + FIRST_STARTS_IN + index * NEXT_STARTS_AFTER
    ends_at = starts_at + timedelta(minutes=made.exam.duration_minutes)
    times = {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
    version = admin.get(Exam, path).version
    match = {"If-Match": f'"{version}"'}
    admin.send("PUT", path, {**made.body, **times}, headers=match)
    admin.send("PATCH", f"{path}/status", {"status": "scheduled"})
    return Sitting(
        exam_id=made.exam.id,
        title=made.title,
        starts_at=starts_at,
        ends_at=ends_at,
        questions=[asked(each) for each in made.questions],
        proctor=made.proctor,
    )
