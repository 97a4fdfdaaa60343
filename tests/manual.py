"""The commands of docs/operations.md, by the language of their block."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANUAL = (ROOT / "docs" / "operations.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", MANUAL)
