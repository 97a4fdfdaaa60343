"""What a person is told of his data: each section in words that he understands."""

from dataclasses import dataclass
from typing import Final

FORMAT: Final = "proctoring-data-export/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What it is, on what it rests, and who can see it."""

    about: str
    rests_on: str
    seen_by: str


ADMINS: Final = "You and the administrators"
EXAM_STAFF: Final = "the proctors of the exam and the administrators"
SECTIONS: Final = {
    "account": Told(
        about="Your account: your name, your address, your role, and since when.",
        rests_on="You registered, or your institution made the account for you;"
        " without one nobody can sit an exam.",
        seen_by=f"{ADMINS}; the proctors of your exams see your name and address.",
    ),
    "sessions": Told(
        about="Each of your logins: when, from which internet address, with which"
        " browser, and how it ended.",
        rests_on="Your browser tells it when you log in. It is kept so that somebody"
        " else who uses your account can be found.",
        seen_by="You; the administrators read it in the audit log.",
    ),
    "refreshes": Told(
        about="When each login was renewed. The keys themselves are not kept.",
        rests_on="Your browser renews a login every few minutes.",
        seen_by="Nobody, but who runs the database.",
    ),
    "assignments": Told(
        about="The exams that you may sit, and the extra time that you were granted.",
        rests_on="Your institution assigned you to them, and granted it.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "exams_watched": Told(
        about="The exams that you watch as a proctor.",
        rests_on="An administrator assigned you to them.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "exams_made": Told(
        about="The exams that you made.",
        rests_on="You made them.",
        seen_by=f"{ADMINS}.",
    ),
    "attempts": Told(
        about="Each time that you sat an exam: when, how it ended, what it was worth,"
        " and what people decided when they reviewed it.",
        rests_on="You started the attempt; the examination rules of your institution"
        " say how it is graded and reviewed.",
        seen_by="You (the notes of reviewers after the attempt, here alone until there"
        f" is a verdict); {EXAM_STAFF}.",
    ),
    "activity": Told(
        about="When your exam client was last heard of, and how much it has reported.",
        rests_on="Your exam client sends it while you sit an exam.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "answers": Told(
        about="Your answers, the points that they earned, and graders' comments.",
        rests_on="You wrote them; people or the exam's key graded them.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "events": Told(
        about="What was observed while you sat an exam. An observation is not an"
        " accusation, and lost connections count for nothing.",
        rests_on="Your exam client reported it, or the server or a proctor noted it,"
        " by the proctoring rules that the exam has.",
        seen_by="You (the notes of proctors after the attempt, and here alone);"
        f" {EXAM_STAFF}.",
    ),
    "analyses": Told(
        about="How a computer ordered your attempts for people to look at, with each"
        " reason and its share. It decides nothing; only people do.",
        rests_on="The events, the times of your answers and which of them were wrong,"
        " compared with the others of the exam by published formulas.",
        seen_by=f"You, in parts; {EXAM_STAFF}.",
    ),
    "appeals": Told(
        about="What you contested, and what somebody else decided about it.",
        rests_on="You lodged an appeal against a verdict on one of your attempts.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "receipts": Told(
        about="The entries of the audit log that prove what you handed in. The whole"
        " proof is at /api/exams/attempts/<id>/receipt.",
        rests_on="You submitted an attempt, or its time was over.",
        seen_by=f"You; {EXAM_STAFF}; everybody to whom you show one.",
    ),
    "views": Told(
        about="Who of the staff looked at the evidence of your attempts, at what, and"
        " when. People are named by their role and a word that stands for them.",
        rests_on="The server notes each look before it shows anything.",
        seen_by=f"You; {EXAM_STAFF}.",
    ),
    "entries": Told(
        about="The entries of the audit log about you or by you. Of what you did to"
        " others, only that and when you did it.",
        rests_on="Everything that changes is recorded, so that a hearing can rely on"
        " it. Entries can be emptied by an erasure, never changed.",
        seen_by="You, here; the administrators; of your attempts also the proctors of"
        " the exam.",
    ),
}

NOTES: Final = (
    (
        "The legal basis, how long it is kept, and with whom you can lodge a complaint"
        " is in the privacy notice of your institution, which is the controller."
    ),
    (
        "`held_back` names what is not shown yet: answers, and what would tell which"
        " are right, while you sit the attempt; points and comments until the exam is"
        " over for everybody. Ask again afterwards."
    ),
    (
        "`person-…` and `attempt-of-somebody-else` stand for other people. The same"
        " person has the same word in all that you are shown."
    ),
    "What people wrote in words of their own stands as they wrote it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    what: str
    why: str


LEFT_OUT: Final = (
    LeftOut(
        what="Your password's hash and the hashes of your logins' keys",
        why="They tell nothing of you, and would help whoever stole this file.",
    ),
    LeftOut(
        what="Questions, and what makes an answer right",
        why="They are not about you, and others sit the same exam.",
    ),
    LeftOut(
        what="The order in which you got questions and options",
        why="It was drawn by chance, of questions that are not given out.",
    ),
    LeftOut(
        what="Who other students are",
        why="It is about them. How many answers you share with somebody is there.",
    ),
    LeftOut(
        what="Counters of requests, kept answers to repeated requests, and notes of who"
        " looked at what just now",
        why="They are forgotten after minutes, or after a day, and copy what is here.",
    ),
)
