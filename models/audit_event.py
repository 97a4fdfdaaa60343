"""What the audit log can say: every type of event, with a sentence about it."""

from utils.described_enum import DescribedEnum


class AuditEvent(DescribedEnum):
    """An event type. Its value is hashed, so it is never renamed, only added to."""

    LOG_GENESIS = "log.genesis", "The log began; its payload is the log's identity."
    EPOCH_OPENED = (
        "log.epoch_opened",
        "The log contradicted what was signed of it, and went on under a new origin.",
    )
    LOG_RESUMED = (
        "log.resumed",
        "The log had contradicted what was signed of it, and does so no more.",
    )
    LOG_ROWS_STATED = (
        "log.rows_stated",
        "The rows of a table that were there before the log covered it.",
    )

    USER_REGISTERED = "user.registered", "Somebody registered as a student."
    USER_CREATED = "user.created", "An admin, or the setup, created an account."
    USER_UPDATED = "user.updated", "An account's name, e-mail or role changed."
    USER_DISABLED = "user.disabled", "An admin disabled an account."
    USER_ENABLED = "user.enabled", "An admin enabled an account again."
    USER_PASSWORD_CHANGED = (
        "user.password_changed",
        "A user changed his own password.",
    )
    USER_PASSWORD_RESET = "user.password_reset", "An admin reset a user's password."

    LOGIN_SUCCEEDED = "auth.login_succeeded", "A user logged in."
    LOGIN_FAILED = "auth.login_failed", "A login was refused."
    PASSWORD_CHANGE_REFUSED = (
        "auth.password_change_refused",
        "Somebody who was logged in did not know the password that he would change.",
    )
    TOKEN_REFRESHED = "auth.token_refreshed", "A session got new tokens."
    TOKEN_REUSE_DETECTED = (
        "auth.token_reuse_detected",
        "A refresh token came a second time; its session was ended.",
    )
    LOGGED_OUT = "auth.logged_out", "A user logged out."
    SESSION_ENDED = "auth.session_ended", "A session was ended from elsewhere."
    ACCESS_DENIED = "access.denied", "A user asked for what his role may not do."

    EXAM_CREATED = "exam.created", "An exam was created."
    EXAM_UPDATED = "exam.updated", "An exam's description or rules changed."
    EXAM_DELETED = "exam.deleted", "An exam without attempts was deleted."
    EXAM_STATUS_CHANGED = (
        "exam.status_changed",
        "An exam was scheduled, opened, closed, cancelled or archived.",
    )
    EXAM_QUESTIONS_CHANGED = "exam.questions_changed", "Questions were edited."
    EXAM_QUESTIONS_IMPORTED = (
        "exam.questions_imported",
        "Questions were imported from a file.",
    )
    EXAM_ASSIGNED = "exam.assigned", "Students were assigned to an exam."
    EXAM_UNASSIGNED = "exam.unassigned", "A student was taken off an exam."
    EXAM_ASSIGNMENT_CHANGED = (
        "exam.assignment_changed",
        "A student's accommodations for an exam changed.",
    )
    EXAM_PROCTOR_ASSIGNED = (
        "exam.proctor_assigned",
        "A proctor was assigned to an exam.",
    )
    EXAM_PROCTOR_UNASSIGNED = (
        "exam.proctor_unassigned",
        "A proctor was taken off an exam.",
    )

    EXAM_EXTRA_TIME_GRANTED = (
        "exam.extra_time_granted",
        "All who sit an exam got time back after an incident.",
    )

    ATTEMPT_STARTED = "attempt.started", "A student started an attempt."
    ATTEMPT_RESUMED = "attempt.resumed", "A student came back to a running attempt."
    ATTEMPT_TAKEN_OVER = (
        "attempt.taken_over",
        "A running attempt moved to another device.",
    )
    ATTEMPT_ANSWERS_SAVED = "attempt.answers_saved", "Answers were saved."
    ATTEMPT_SUBMITTED = "attempt.submitted", "A student submitted an attempt."
    ATTEMPT_ENDED = (
        "attempt.ended",
        "The server ended an attempt: its deadline passed or its exam closed.",
    )
    ATTEMPT_PAUSED = "attempt.paused", "An attempt was paused."
    ATTEMPT_UNPAUSED = "attempt.unpaused", "A paused attempt went on."
    ATTEMPT_EXTENDED = "attempt.extended", "An attempt got extra time."
    ATTEMPT_DEADLINE_MOVED = (
        "attempt.deadline_moved",
        "The exam's window or the student's accommodation moved a deadline.",
    )
    ATTEMPT_TERMINATED = "attempt.terminated", "Staff ended an attempt."
    ATTEMPT_VOIDED = "attempt.voided", "Staff declared an attempt void."
    ATTEMPT_REOPENED = "attempt.reopened", "An admin let an ended attempt go on."
    ATTEMPT_GRADED = "attempt.graded", "An answer was graded by hand."
    ATTEMPT_REVIEWED = "attempt.reviewed", "A human reviewed an attempt's flags."

    APPEAL_LODGED = "appeal.lodged", "A student contested a verdict."
    APPEAL_TAKEN = "appeal.taken", "A member of staff began to look into an appeal."
    APPEAL_DECIDED = (
        "appeal.decided",
        "An appeal was decided by somebody else than who had given the verdict.",
    )
    APPEAL_WITHDRAWN = "appeal.withdrawn", "A student took an appeal back."

    PROCTORING_EVENTS_RECORDED = (
        "proctoring.events_recorded",
        "What the exam client, the server or staff observed was recorded.",
    )
    ANALYSIS_COMPUTED = "analysis.computed", "An attempt's risk was computed."
    HOLD_PLACED = "hold.placed", "Data must be kept: a case needs them."
    HOLD_RELEASED = "hold.released", "A case needs data no longer."
    DATA_ERASED = (
        "data.erased",
        "What was recorded of a person was erased; the payload names the entries.",
    )
    RETENTION_APPLIED = (
        "retention.applied",
        "A class of data was looked through for what has been kept long enough.",
    )
    SETTINGS_CHANGED = "settings.changed", "A setting of the system changed."
    VERIFICATION_STARTED = (
        "log.verification_started",
        "An admin had the log verified.",
    )
    VERIFICATION_CANCELLED = (
        "log.verification_cancelled",
        "An admin stopped a verification of the log.",
    )
    EVIDENCE_EXPORTED = "evidence.exported", "Evidence left the system."
    EVIDENCE_VIEWED = "evidence.viewed", "Staff looked at somebody's evidence."
    DATA_EXPORTED = "data.exported", "All that is held on a person was given out."
