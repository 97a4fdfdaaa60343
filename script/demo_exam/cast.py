"""Who sits which exam, how he behaves in truth, and what befalls him."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from script.demo_behaviours import Behaviour

EXAM_COUNT = 3
# Of all students; the rest is honest. A quarter cheats, which is far more than in life,
# so that there is something to be found.
SHARES = {
    Behaviour.BAD_NETWORK: 0.15,
    Behaviour.NERVOUS: 0.12,
    Behaviour.TAB_SWITCHER: 0.07,
    Behaviour.PHONE_USER: 0.07,
    Behaviour.IMPERSONATED: 0.05,
}
PAIRS_SHARE = 0.07
# So many have each special fate, for every twenty students.
FATE_EVERY = 20
FIRST_NAMES = (
    *("Amara", "Bruno", "Chen", "Dalia", "Emil", "Farah", "Goran", "Hana", "Ivo"),
    *("Jonas", "Kavya", "Luca", "Mina", "Nils", "Olga", "Pablo", "Quinn", "Rosa"),
    *("Sami", "Tara", "Umar", "Vera", "Wanda", "Ximena", "Yusuf", "Zoe"),
)
LAST_NAMES = (
    *("Abel", "Brandt", "Costa", "Dubois", "Eriksen", "Fontana", "Garcia", "Haddad"),
    *("Ivanova", "Jensen", "Kaya", "Lindgren", "Moreau", "Novak", "Okafor", "Petrov"),
    *("Quist", "Rossi", "Sato", "Tanaka", "Ueda", "Vargas", "Weber", "Yilmaz"),
)


class Fate(StrEnum):
    ORDINARY = "ordinary"
    LAPTOP_DIES = "laptop dies"
    EXTRA_TIME = "extra time"
    NEVER_SUBMITS = "never submits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    number: int
    full_name: str
    email: str
    behaviour: Behaviour
    exam_index: int
    # The number of the student with whom he shares answers, and who takes the lead.
    pair: int | None
    fate: Fate

    @property
    def is_cheating(self) -> bool:
        return self.behaviour.is_cheating


def cast(count: int, seed: int) -> tuple[Student, ...]:
    """Deal `count` students to the exams, so that each exam has some of everything."""
    rng = Random(f"{seed}:cast")  # noqa: S311
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    chosen = rng.sample(names, count)
    parts = _parts(count)
    fates = _fates(parts)
    return tuple(
        Student(
            number=number,
            full_name=name,
            email=f"{name.lower().replace(' ', '.')}@students.example",
            behaviour=part.behaviour,
            exam_index=part.exam_index,
            pair=part.pair,
            fate=fate,
        )
        for number, (name, part, fate) in enumerate(
            zip(chosen, parts, fates, strict=True)
        )
    )


@dataclass(frozen=True, slots=True)
class _Part:
    behaviour: Behaviour
    exam_index: int
    pair: int | None = None


def _parts(count: int) -> list[_Part]:
    parts = [
        _Part(Behaviour.SHARING_PAIR, number % EXAM_COUNT, number)
        for number in range(max(1, round(PAIRS_SHARE * count / 2)))
        for _ in range(2)
    ]
    others = [
        behaviour
        for behaviour, share in SHARES.items()
        for _ in range(max(1, round(share * count)))
    ]
    honest = count - len(parts) - len(others)
    for behaviour in [*others, *[Behaviour.HONEST] * honest]:
        sizes = [
            sum(part.exam_index == index for part in parts)
            for index in range(EXAM_COUNT)
        ]
        # Alike ones follow each other, so the exam with most room differs each time.
        parts.append(_Part(behaviour, sizes.index(min(sizes))))
    return parts


def _fates(parts: Sequence[_Part]) -> list[Fate]:
    """Give fates to honest students, the last first, since they are spread out."""
    honest = [n for n, part in enumerate(parts) if part.behaviour is Behaviour.HONEST]
    fates = [Fate.ORDINARY] * len(parts)
    rounds = max(1, len(parts) // FATE_EVERY)
    wanted = [
        Fate.EXTRA_TIME,
        *[Fate.LAPTOP_DIES] * max(1, rounds - 1),
        *[Fate.NEVER_SUBMITS] * rounds,
    ]
    for number, fate in zip(reversed(honest), wanted, strict=False):
        fates[number] = fate
    return fates
