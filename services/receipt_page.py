"""A receipt on paper: one page, with the whole proof in a code to photograph."""

from html import escape
from typing import Final

import segno
from segno.encoder import DataOverflowError

from services.evidence_markup import utc
from services.evidence_timeline import SENTENCES
from services.receipt_service import SealedReceipt
from utils.instants import from_microseconds
from utils.payload_text import shown

# What the page may do: show itself. The code is an image within the page.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " frame-ancestors 'none'"
)
STYLE: Final = (
    "body{font:11pt serif;max-width:17cm;margin:1cm auto}"
    "pre{font:6.5pt monospace;white-space:pre-wrap;word-break:break-all}"
    "img{width:10cm;display:block;margin:0 auto}dt{font-weight:bold}"
    "dd{overflow-wrap:anywhere}dt,dd,img{break-inside:avoid}"
)
NO_CODE: Final = "<p>The receipt is too long for a code. Keep the text below.</p>"


# What of the entry is told in words, and how it is called.
TOLD: Final = {
    "answered": "Answers",
    "answers_digest": "SHA-256 of the answers",
    "score": "Score at that moment",
    "max_score": "Highest score",
}
CLAIM: Final = (
    "It proves that the audit log held the entry that is told here, to the letter, when"
    " its state was signed. It can not show who sat at the keyboard, and it does not"
    " prove that what the entry says is true."
)
CHECKING: Final = (
    "Keep the text below, from its first line to its last. Whoever has it as a file can"
    " send it to POST /api/blockchain/receipts/verify of this server, without a login,"
    " and is told of each step whether it holds. It can also be checked without asking"
    " the institution: it is a C2SP tlog-proof, and the key of the log and the policy"
    " of witnesses are to be taken from where they were published, not from this page."
)


def receipt_page(receipt: SealedReceipt) -> str:
    """Return HTML that loads nothing and runs nothing."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in _facts(receipt).items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Receipt {receipt.audit_seq}</title><style>{STYLE}</style></head><body>"
        "<h1>Receipt of an exam attempt</h1>"
        f"<p>{escape(CLAIM)}</p>"
        f"<dl>{rows}</dl>{_standing(receipt)}"
        f"<h2>How it is checked</h2><p>{escape(CHECKING)}</p>{_code(receipt.proof)}"
        f"<h2>The receipt itself</h2><pre>{escape(receipt.proof)}</pre></body></html>"
    )


def _facts(receipt: SealedReceipt) -> dict[str, str]:
    entry = receipt.entry
    payload = shown(entry.payload or "")
    told = {} if isinstance(payload, str) else payload
    return {
        "Attempt": str(receipt.attempt_id),
        "What was recorded": SENTENCES.get(entry.event_type, entry.event_type),
        "When": utc(from_microseconds(entry.recorded_at_us)),
        **{
            name: "none yet" if told[key] is None else str(told[key])
            for key, name in TOLD.items()
            if key in told
        },
        "Entry of the audit log": str(receipt.audit_seq),
        "Its hash": receipt.receipt_hash.hex(),
        "Signed over": f"{receipt.checkpoint_size} entries"
        + (", and confirmed by witnesses" if receipt.is_witnessed else ""),
    }


def _standing(receipt: SealedReceipt) -> str:
    if receipt.is_witnessed:
        return ""
    return (
        "<p><strong>Not final:</strong> enough witnesses have not confirmed"
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
