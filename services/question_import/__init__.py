"""Questions from a text file: Moodle's GIFT, and CSV. docs/question-import.md.

Neither parser raises for any text: what it can't take it reports, with the line.
"""

from services.question_import.csv_format import parse_csv
from services.question_import.gift import parse_gift
from services.question_import.result import ImportResult, LineProblem

__all__ = ["ImportResult", "LineProblem", "parse_csv", "parse_gift"]
