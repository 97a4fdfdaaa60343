"""The commands of docs/operations.md, by the language of their block."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANUAL = (ROOT / "docs" / "operations.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", MANUAL)


def section(title: str, language: str) -> list[str]:
    """Return the blocks under one headline, up to the next."""
    (text,) = re.findall(rf"(?ms)^#+ {re.escape(title)}\n(.*?)^#", f"{MANUAL}\n#")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)
