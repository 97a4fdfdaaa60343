"""What /metrics says, as Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scraped:
    """`scraped("proctoring_attempts", status="paused")` sums what has these labels."""

    def __init__(self, text: str) -> None:
        self.samples = list(_samples(text))

    def __call__(self, name: str, **labels: str) -> float:
        """Return 0 if nothing of the kind has been counted."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples
