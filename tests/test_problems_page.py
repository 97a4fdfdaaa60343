"""docs/problems.md has a section for each problem that the API can answer with."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import api
import middleware
import services
from api.problems import HTTP_PROBLEMS
from services.errors import DomainError

PAGE = Path(__file__).parent.parent / "docs" / "problems.md"
# Rendered by api/problems.py itself.
OWN = {
    "invalid-request",
    "unsupported-media-type",
    "too-many-requests",
    "unavailable",
    "log-contradicted",
    "internal-error",
    "data-unreadable",
    "http-error",
}


def leaves(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    children = kind.__subclasses__()
    if not children and "slug" in vars(kind):
        yield kind
    for child in children:
        yield from leaves(child)


def known_slugs() -> set[str]:
    for package in (api, middleware, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return (
        {leaf.slug for leaf in leaves(DomainError)}
        | {slug for slug, _, _ in HTTP_PROBLEMS.values()}
        | OWN
    )


def test_every_problem_has_its_section_and_every_section_its_problem() -> None:
    sections = re.findall(r"^## ([a-z0-9-]+)$", PAGE.read_text(), re.MULTILINE)

    assert len(sections) == len(set(sections))
    assert set(sections) == known_slugs()


def test_every_problem_says_what_to_do() -> None:
    bodies = re.split(r"^## [a-z0-9-]+$", PAGE.read_text(), flags=re.MULTILINE)[1:]

    assert all(len(body.split()) >= 8 for body in bodies)
