"""Editing an exam's questions, one by one, all at once, or from a file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from models import exam, question
from models.audit_event import AuditEvent
from models.database import Database
from models.exam import Exam, ExamStatus
from models.principal import Principal
from models.question import Question
from models.question_storage import QuestionView, from_storage
from models.question_types import NewQuestion
from models.transaction import Transaction
from services import audit, errors
from services.access import require_exam
from services.exam_editing import (
    fingerprint,
    fingerprints,
    lock_exam,
    numbered,
    require_editable_questions,
)
from services.exam_fields import MAX_QUESTIONS
from services.question_import import LineProblem, parse_csv, parse_gift
from services.versions import ExpectedVersions


class ImportFormat(StrEnum):
    GIFT = "gift"
    CSV = "csv"


class ImportMode(StrEnum):
    APPEND = "append"
    REPLACE = "replace"


class QuestionNotFoundError(errors.NotFoundError):
    slug = "question-not-found"
    title = "No such question"

    def __init__(self, question_id: UUID) -> None:
        super().__init__(f"The exam has no question {question_id}.")


class LastQuestionError(errors.ConflictError):
    slug = "last-question"
    title = "An exam needs a question"

    def __init__(self, found: Exam) -> None:
        super().__init__(
            f"The exam is {found.status}, so it keeps at least one question.",
            current_status=found.status,
            allowed_actions=["replace_questions"],
        )


class TooManyQuestionsError(errors.UnprocessableError):
    slug = "too-many-questions"
    title = "Too many questions"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"An exam has at most {MAX_QUESTIONS} questions; this would make {count}."
        )


class ImportRefusedError(errors.UnprocessableError):
    slug = "import-refused"
    title = "The file has mistakes"

    def __init__(self, problems: Sequence[LineProblem]) -> None:
        super().__init__(
            "Nothing was imported. Correct the lines below, or leave their questions "
            "out with skip_bad=true, if there are others.",
            [(f"#/line/{problem.line}", _sentence(problem)) for problem in problems],
        )


class NothingToImportError(errors.UnprocessableError):
    slug = "import-empty"
    title = "No question in the file"

    def __init__(self) -> None:
        super().__init__(
            "The file contains no question.", [("#/line/1", "Holds no question.")]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionFile:
    """A file of questions, and what to do with it."""

    text: str
    format: ImportFormat
    mode: ImportMode
    # Import the good questions of a file that has bad ones too.
    is_skipping_bad: bool
    # Say what would be imported, and import nothing.
    is_dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    is_dry_run: bool
    questions: Sequence[NewQuestion]
    problems: Sequence[LineProblem]
    notes: Sequence[LineProblem]
    # How many the exam has now, or would have.
    question_count: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """Questions, and the version of the exam that has them."""

    questions: Sequence[QuestionView]
    version: int


class QuestionService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_questions(self, admin: Principal, exam_id: UUID) -> Versioned:
        with self._database.read() as tx:
            found = require_exam(tx, admin, exam_id)
            return Versioned(
                questions=_views(question.list_by_exam(tx, exam_id)),
                version=found.version,
            )

    def replace_questions(
        self,
        new: Sequence[NewQuestion],
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
    ) -> Versioned:
        with self._database.transaction() as tx:
            found = _lock(tx, exam_id, expected)
            before = question.list_by_exam(tx, exam_id)
            after = numbered(exam_id, new, first=1)
            _require_some(found, after)
            question.delete_all(tx, exam_id)
            question.insert_many(tx, exam_id, after)
            changed = _touch(
                tx,
                admin,
                found,
                {
                    "before": fingerprints(before),
                    "after": fingerprints(after),
                },
            )
            return Versioned(questions=_views(after), version=changed.version)

    def append_question(
        self,
        new: NewQuestion,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
    ) -> Versioned:
        """Add one question at the end."""
        with self._database.transaction() as tx:
            found = _lock(tx, exam_id, expected)
            count = question.extent(tx, exam_id).question_count
            _require_room(count + 1)
            added = numbered(exam_id, [new], first=count + 1)
            question.insert_many(tx, exam_id, added)
            changed = _touch(tx, admin, found, {"added": fingerprints(added)})
            return Versioned(questions=_views(added), version=changed.version)

    def replace_question(
        self,
        new: NewQuestion,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
        question_id: UUID,
    ) -> Versioned:
        """Write one question anew, in its place."""
        with self._database.transaction() as tx:
            found = _lock(tx, exam_id, expected)
            before = _require_question(tx, exam_id, question_id)
            (written,) = numbered(exam_id, [new], first=before.position)
            after = replace(written, id=question_id)
            question.update(tx, after)
            changed = _touch(
                tx,
                admin,
                found,
                {"before": [fingerprint(before)], "after": [fingerprint(after)]},
            )
            return Versioned(questions=_views([after]), version=changed.version)

    def delete_question(
        self,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
        question_id: UUID,
    ) -> None:
        """Remove one question; those behind it move up."""
        with self._database.transaction() as tx:
            found = _lock(tx, exam_id, expected)
            removed = _require_question(tx, exam_id, question_id)
            if (
                found.status is not ExamStatus.DRAFT
                and question.extent(tx, exam_id).question_count == 1
            ):
                raise LastQuestionError(found)
            question.delete(tx, removed)
            _touch(tx, admin, found, {"removed": [fingerprint(removed)]})

    def import_questions(
        self,
        file: QuestionFile,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
    ) -> ImportReport:
        """Add the questions of a file, or put them in the place of the present ones.

        Raises ImportRefusedError, which names the lines, unless told to leave the bad
        questions out and some are good. A dry run reports them instead.
        """
        parse = parse_gift if file.format is ImportFormat.GIFT else parse_csv
        result = parse(file.text)
        if not file.is_dry_run:
            if result.problems and not (file.is_skipping_bad and result.questions):
                raise ImportRefusedError(result.problems)
            if not result.questions:
                raise NothingToImportError
        with self._database.transaction() as tx:
            found = _lock(tx, exam_id, expected)
            before = question.list_by_exam(tx, exam_id)
            kept = len(before) if file.mode is ImportMode.APPEND else 0
            count = kept + len(result.questions)
            _require_room(count)
            report = ImportReport(
                is_dry_run=file.is_dry_run,
                questions=result.questions,
                problems=result.problems,
                notes=result.notes,
                question_count=count,
                version=found.version,
            )
            if file.is_dry_run:
                return report
            added = numbered(exam_id, result.questions, first=kept + 1)
            removed: Sequence[Question] = []
            if file.mode is ImportMode.REPLACE:
                removed = before
                question.delete_all(tx, exam_id)
            question.insert_many(tx, exam_id, added)
            changed = _touch(
                tx,
                admin,
                found,
                {
                    "format": file.format,
                    "mode": file.mode,
                    "left_out": len(result.problems),
                    "removed": fingerprints(removed),
                    "added": fingerprints(added),
                },
                AuditEvent.EXAM_QUESTIONS_IMPORTED,
            )
            return replace(report, version=changed.version)


def _lock(tx: Transaction, exam_id: UUID, expected: ExpectedVersions) -> Exam:
    found = lock_exam(tx, exam_id, expected)
    require_editable_questions(found)
    return found


def _touch(
    tx: Transaction,
    admin: Principal,
    found: Exam,
    payload: dict[str, object],
    event: AuditEvent = AuditEvent.EXAM_QUESTIONS_CHANGED,
) -> Exam:
    changed = exam.touch(tx, found.id)
    audit.append(
        tx,
        event,
        "exam",
        found.id,
        actor=admin.id,
        payload=payload | {"version": changed.version},
    )
    return changed


def _require_question(tx: Transaction, exam_id: UUID, question_id: UUID) -> Question:
    found = question.get(tx, exam_id, question_id)
    if found is None:
        raise QuestionNotFoundError(question_id)
    return found


def _require_some(found: Exam, questions: Sequence[Question]) -> None:
    if found.status is not ExamStatus.DRAFT and not questions:
        raise LastQuestionError(found)


def _require_room(count: int) -> None:
    if count > MAX_QUESTIONS:
        raise TooManyQuestionsError(count)


def _views(questions: Sequence[Question]) -> list[QuestionView]:
    return [from_storage(one.id, one.position, one) for one in questions]


def _sentence(problem: LineProblem) -> str:
    if problem.column is None:
        return problem.detail
    return f"Column {problem.column}: {problem.detail}"
