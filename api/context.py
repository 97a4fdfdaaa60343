"""The services of the current app."""

from dataclasses import dataclass

from flask import current_app

from services.account_service import AccountService
from services.analysis_service import AnalysisService
from services.appeal_service import AppealService
from services.assignment_service import AssignmentService
from services.attempt_service import AttemptService
from services.auth_service import AuthService
from services.blockchain_service import BlockchainService
from services.data_export import DataExports
from services.epoch_service import EpochService
from services.erasure_service import ErasureService
from services.evidence_service import EvidenceService
from services.evidence_views import EvidenceViews
from services.exam_service import ExamService
from services.extra_time import ExtraTime
from services.grade_service import GradeService
from services.health_service import HealthService
from services.hold_service import HoldService
from services.merkle_service import MerkleService
from services.proctor_actions import ProctorActions
from services.proctoring_reads import ProctoringReads
from services.proctoring_service import ProctoringService
from services.question_service import QuestionService
from services.receipt_service import ReceiptService
from services.results_service import ResultsService
from services.retention_service import RetentionService
from services.review_service import ReviewService
from services.sitting_service import SittingService
from services.timestamp_service import TimestampService
from services.user_service import UserService
from services.verification_service import VerificationService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    appeals: AppealService
    attempts: AttemptService
    accounts: AccountService
    auth: AuthService
    blockchain: BlockchainService
    epochs: EpochService
    erasures: ErasureService
    evidence: EvidenceService
    holds: HoldService
    views: EvidenceViews
    data_exports: DataExports
    merkle: MerkleService
    extra_time: ExtraTime
    users: UserService
    verifications: VerificationService
    grades: GradeService
    health: HealthService
    exams: ExamService
    questions: QuestionService
    assignments: AssignmentService
    sittings: SittingService
    receipts: ReceiptService
    results: ResultsService
    retention: RetentionService
    timestamps: TimestampService
    proctor_actions: ProctorActions
    proctoring: ProctoringService
    proctoring_reads: ProctoringReads
    analysis: AnalysisService
    reviews: ReviewService


def services() -> Services:
    found: Services = current_app.extensions["services"]
    return found
