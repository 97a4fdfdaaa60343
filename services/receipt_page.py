"""A receipt on paper: one page, with the whole proof in a code to photograph."""

from html import escape
from typing import Final

import segno
from segno.encoder import DataOverflowError

from services.receipt_service import SealedReceipt

# What the page may do: show itself. The code is an image within the page.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " frame-ancestors 'none'"
)
STYLE: Final = (
    "body{font:11pt serif;max-width:17cm;margin:1cm auto}"
    "pre{font:6.5pt monospace;white-space:pre-wrap;word-break:break-all}"
    "img{width:10cm;display:block;margin:0 auto}dt{font-weight:bold}"
)
NO_CODE: Final = "<p>The receipt is too long for a code. Keep the text below.</p>"


def receipt_page(receipt: SealedReceipt) -> str:
    """Return HTML that loads nothing and runs nothing."""
    facts = {
        "Attempt": str(receipt.attempt_id),
        "Entry of the audit log": str(receipt.audit_seq),
        "Its hash": receipt.receipt_hash.hex(),
        "Signed over": f"{receipt.checkpoint_size} entries"
        + (", and confirmed by witnesses" if receipt.is_witnessed else ""),
    }
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in facts.items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Receipt {receipt.audit_seq}</title><style>{STYLE}</style></head><body>"
        "<h1>Receipt of a submitted exam</h1>"
        "<p>It proves that the audit log held this entry, as it reads here, when it was"
        " signed. Keep it: anybody can check it without asking the institution.</p>"
        f"<dl>{rows}</dl>{_standing(receipt)}{_code(receipt.proof)}"
        f"<h2>The receipt itself</h2><pre>{escape(receipt.proof)}</pre></body></html>"
    )


def _standing(receipt: SealedReceipt) -> str:
    if receipt.is_witnessed:
        return ""
    return (
        "<p><strong>Not final:</strong> enough independent witnesses have not confirmed"
        " it. It lacks: "
        f"{escape(receipt.missing or '')}. Load this page again later.</p>"
    )


def _code(text: str) -> str:
    try:
        # The lowest level of correction: all of the room is needed.
        code = segno.make(text.encode(), error="l", boost_error=False, micro=False)
    except DataOverflowError:
        return NO_CODE
    return f'<img alt="The receipt as a code" src="{code.svg_data_uri()}">'
