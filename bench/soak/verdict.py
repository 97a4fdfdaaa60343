"""Whether a figure is flat, or grows for as long as somebody works."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.soak.readings import Series

# Growth that counts as none: of what there was, and in any case, by the figure's unit.
SHARE = 0.02
AT_LEAST = {"MiB": 1.0, "": 2.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The medians of the first and of the second half of what was judged."""

    name: str
    unit: str
    earlier: float
    later: float
    highest: float

    @property
    def growth(self) -> float:
        return self.later - self.earlier

    @property
    def is_flat(self) -> bool:
        allowed = max(SHARE * self.earlier, AT_LEAST[self.unit])
        return self.growth <= allowed


def judge(series: Sequence[Series], begins: float, ends: float) -> list[Verdict]:
    """Compare the two halves of the time from `begins` to `ends`, in seconds.

    Before that is the warm-up, in which caches fill and pools open. Medians, because a
    moment at which many come together is no leak. Raises ValueError if there is too
    little to compare.
    """
    middle = (begins + ends) / 2
    verdicts = []
    for each in series:
        earlier, later = each.between(begins, middle), each.between(middle, ends)
        if min(len(earlier), len(later)) < 3:  # noqa: PLR2004
            raise ValueError(f"too few readings of {each.name}")
        verdicts.append(
            Verdict(
                name=each.name,
                unit=each.unit,
                earlier=statistics.median(earlier),
                later=statistics.median(later),
                highest=max(earlier + later),
            )
        )
    return verdicts
