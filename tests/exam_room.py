"""An exam that is open, with its students and staff: arranged by SQL, for any test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from psycopg2.extensions import connection
from psycopg2.extras import Json
from pydantic import TypeAdapter

from models import exam
from models.database import Database
from models.principal import Principal, Role
from models.question_storage import to_storage
from models.question_types import NewQuestion
from services.exam_fields import ExamFields
from services.exam_service import ExamService
from services.versions import ANY_VERSION
from tests.by_hand import stated
from utils.uuid7 import uuid7

PASSWORD_HASH = "$2b$04$" + "x" * 53

CAPITAL = {
    "kind": "single_choice",
    "text": "What is the capital of Austria?",
    "points": 2,
    "options": [
        {"text": "Vienna", "is_correct": True},
        {"text": "Graz", "is_correct": False},
        {"text": "Linz", "is_correct": False},
    ],
}
PRODUCT = {
    "kind": "numeric",
    "text": "What is 6 times 7?",
    "points": 3,
    "answer": 42,
    "tolerance": 0,
}
ESSAY = {"kind": "essay", "text": "Why?", "points": 5}

_new_question: TypeAdapter[NewQuestion] = TypeAdapter(NewQuestion)


@dataclass(frozen=True, slots=True)
class Asked:
    id: UUID
    option_ids: list[UUID] = field(default_factory=list)


class ExamRoom:
    """One exam. Its questions are `questions`, in order; the first option is right."""

    def __init__(
        self,
        sql: connection,
        *,
        questions: Sequence[object] = (CAPITAL, PRODUCT),
        duration_minutes: int = 60,
        max_attempts: int = 1,
        status: str = "active",
        starts_in: str = "-1 minute",
        ends_in: str = "1 day",
        shuffle: bool = False,
    ) -> None:
        self._sql = sql
        self.admin = self.new_user(Role.ADMIN)
        self.exam_id = uuid7()
        self._state(
            """
            INSERT INTO exams (id, title, duration_minutes, starts_at, ends_at, status,
                               max_attempts, shuffle_questions, shuffle_options,
                               created_by)
            VALUES (%s, 'Exam', %s, clock_timestamp() + %s::interval,
                    clock_timestamp() + %s::interval, %s, %s, %s, %s, %s)
            """,
            self.exam_id,
            duration_minutes,
            starts_in,
            ends_in,
            status,
            max_attempts,
            shuffle,
            shuffle,
            self.admin.id,
        )
        self.questions = [
            self._ask(position, each) for position, each in enumerate(questions, 1)
        ]

    def _ask(self, position: int, document: object) -> Asked:
        new = _new_question.validate_python(document)
        stored = to_storage(new, uuid7)
        question_id = uuid7()
        self._state(
            "INSERT INTO questions VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            question_id,
            self.exam_id,
            position,
            stored.kind,
            stored.text,
            stored.points,
            Json(stored.body),
            Json(stored.answer_key),
        )
        options = stored.body.get("options", [])
        assert isinstance(options, list)
        ids = [UUID(str(o["id"])) for o in options if isinstance(o, dict)]
        return Asked(question_id, ids)

    def set_policy(self, policy: Mapping[str, object]) -> None:
        self._state(
            "UPDATE exams SET proctoring = %s WHERE id = %s",
            Json(policy),
            self.exam_id,
        )

    def new_user(self, role: Role) -> Principal:
        user_id = uuid7()
        email = f"{user_id.hex}@example.edu"
        self._state(
            """
            INSERT INTO users (id, email, email_canonical, full_name, role,
                               password_hash)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            user_id,
            email,
            email,
            f"{role} {user_id.hex[-4:]}",
            role,
            PASSWORD_HASH,
        )
        return self.login(user_id, role)

    def new_student(
        self, *, extra_time_minutes: int = 0, time_multiplier: Decimal = Decimal(1)
    ) -> Principal:
        """Make a student who is assigned to the exam."""
        student = self.new_user(Role.STUDENT)
        self._state(
            """
            INSERT INTO exam_assignments
                (exam_id, student_id, extra_time_minutes, time_multiplier)
            VALUES (%s, %s, %s, %s)
            """,
            self.exam_id,
            student.id,
            extra_time_minutes,
            time_multiplier,
        )
        return student

    def assign(self, student: Principal) -> None:
        """Assign a student of another exam to this one too."""
        self._run(
            "INSERT INTO exam_assignments (exam_id, student_id) VALUES (%s, %s)",
            self.exam_id,
            student.id,
        )

    def new_proctor(self) -> Principal:
        """Make a proctor who watches the exam."""
        proctor = self.new_user(Role.PROCTOR)
        self._state(
            "INSERT INTO exam_proctors (exam_id, proctor_id) VALUES (%s, %s)",
            self.exam_id,
            proctor.id,
        )
        return proctor

    def login(self, user_id: UUID, role: Role = Role.STUDENT) -> Principal:
        """Log a user in on another device."""
        session_id = uuid7()
        self._run(
            """
            INSERT INTO sessions (id, user_id, expires_at)
            VALUES (%s, %s, clock_timestamp() + interval '7 days')
            """,
            session_id,
            user_id,
        )
        return Principal(
            id=user_id, role=role, session_id=session_id, must_change_password=False
        )

    def log_out(self, principal: Principal) -> None:
        self._run(
            """
            UPDATE sessions SET ended_at = clock_timestamp(), ended_reason = 'logout'
             WHERE id = %s
            """,
            principal.session_id,
        )

    def let_time_pass(self, attempt_id: UUID, seconds: float) -> None:
        """Move all that an attempt remembers into the past, as waiting would."""
        self._let_time_pass([attempt_id], seconds)

    def let_time_pass_for_all(self, seconds: float) -> None:
        """Do so for every attempt of the exam, and for its window once it is over."""
        with self._sql.cursor() as cursor:
            cursor.execute("SELECT id FROM attempts WHERE exam_id = %s", [self.exam_id])
            found = [row[0] for row in cursor.fetchall()]
        self._let_time_pass(found, seconds)
        self._state(
            """
            UPDATE exams SET starts_at = starts_at - %(passed)s::interval,
                             ends_at = ends_at - %(passed)s::interval
             WHERE id = %(id)s AND status IN ('completed', 'archived')
            """,
            passed=f"{seconds} seconds",
            id=self.exam_id,
        )

    def _let_time_pass(self, attempt_ids: Sequence[UUID], seconds: float) -> None:
        passed, ids = f"{seconds} seconds", [str(each) for each in attempt_ids]
        # What an attempt is can't change; for the time machine it may.
        self._state(
            """
            ALTER TABLE attempts DISABLE TRIGGER attempts_guard;
            UPDATE attempts
               SET started_at = started_at - %(passed)s::interval,
                   deadline_at = deadline_at - %(passed)s::interval,
                   paused_at = paused_at - %(passed)s::interval,
                   ended_at = ended_at - %(passed)s::interval
             WHERE id = ANY(%(ids)s::uuid[]);
            ALTER TABLE attempts ENABLE TRIGGER attempts_guard
            """,
            passed=passed,
            ids=ids,
        )
        self._run(
            """
            UPDATE attempt_activity
               SET last_seen_at = last_seen_at - %(passed)s::interval,
                   displaced_at = displaced_at - %(passed)s::interval
             WHERE attempt_id = ANY(%(ids)s::uuid[])
            """,
            passed=passed,
            ids=ids,
        )

    def scalar(self, statement: str, *parameters: object) -> object:
        with self._sql.cursor() as cursor:
            cursor.execute(statement, parameters)
            row = cursor.fetchone()
        assert row is not None
        return row[0]

    def event_types(self, attempt_id: UUID) -> list[str]:
        """List the audit entries of an attempt, but those of reported events."""
        with self._sql.cursor() as cursor:
            cursor.execute(
                """
                SELECT event_type FROM audit_log
                 WHERE attempt_id = %s AND entity_type = 'attempt' ORDER BY seq
                """,
                [attempt_id],
            )
            return [str(row[0]) for row in cursor.fetchall()]

    def observed(self, attempt_id: UUID) -> list[str]:
        """List the proctoring events of an attempt."""
        with self._sql.cursor() as cursor:
            cursor.execute(
                """
                SELECT event_type FROM proctoring_events
                 WHERE attempt_id = %s ORDER BY received_at
                """,
                [attempt_id],
            )
            return [str(row[0]) for row in cursor.fetchall()]

    def _state(self, statement: str, *parameters: object, **named: object) -> None:
        """Change rows that the log covers."""
        self._run(stated(statement), *parameters, **named)

    def _run(self, statement: str, *parameters: object, **named: object) -> None:
        with self._sql.cursor() as cursor:
            cursor.execute(statement, named or parameters or None)


def end_later(database: Database, room: ExamRoom, minutes: int) -> None:
    """Move the end of the exam's window."""
    with database.read() as tx:
        before = exam.get(tx, room.exam_id)
    assert before is not None
    assert before.ends_at is not None
    fields = {name: getattr(before, name) for name in ExamFields.model_fields}
    fields["ends_at"] = before.ends_at + timedelta(minutes=minutes)
    later = ExamFields.model_validate(fields)
    ExamService(database).replace_exam(later, ANY_VERSION, room.admin, room.exam_id)
