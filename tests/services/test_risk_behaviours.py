"""Planned behaviours are playable, repeatable, and told apart by the model."""

from random import Random

import pytest

from bench.risk_simulation import Setting, simulate
from script.demo_behaviours import Behaviour, Plan, draw_questions, plan, plan_pair
from services.event_catalogue import Reporter, resolve
from services.proctoring_policy import read_facts

DURATION_SECONDS = 3600.0
SINGLE = [each for each in Behaviour if each is not Behaviour.SHARING_PAIR]


def all_plans(seed: int) -> list[Plan]:
    rng = Random(seed)
    questions = draw_questions(rng, 16)
    made = [plan(each, rng, DURATION_SECONDS, questions) for each in SINGLE]
    return [*made, *plan_pair(rng, DURATION_SECONDS, questions)]


def test_the_same_seed_gives_the_same_plans() -> None:
    assert all_plans(7) == all_plans(7)
    assert all_plans(7) != all_plans(8)


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_can_be_played_by_a_client(seed: int) -> None:
    for made in all_plans(seed):
        offsets = [each.offset_seconds for each in made.events]
        assert offsets == sorted(offsets)
        for event in made.events:
            event_type = resolve(event.event_type)
            assert event_type.code == event.event_type
            assert Reporter.CLIENT in event_type.reporters
            assert 0 <= event.offset_seconds < DURATION_SECONDS
            read_facts(event.payload)
        answered = [each.question_index for each in made.answers]
        assert sorted(answered) == list(range(16))
        for given in made.answers:
            assert 0 < given.offset_seconds < DURATION_SECONDS
            assert given.wrong_variant in {None, 0, 1, 2}
        for outage in made.outages:
            assert 0 <= outage.start_seconds < outage.end_seconds < DURATION_SECONDS


def test_only_a_bad_network_has_outages() -> None:
    with_outages = {
        made.behaviour for seed in range(5) for made in all_plans(seed) if made.outages
    }

    assert with_outages == {Behaviour.BAD_NETWORK}


def test_a_compressed_plan_is_the_same_at_another_speed() -> None:
    made = plan(Behaviour.BAD_NETWORK, Random(3), DURATION_SECONDS, ())
    fast = made.compressed(30)

    assert len(fast.events) == len(made.events)
    for slow, quick in zip(made.events, fast.events, strict=True):
        assert quick.offset_seconds * 30 == pytest.approx(slow.offset_seconds)
        assert read_facts(quick.payload).duration_ms * 30 == pytest.approx(
            read_facts(slow.payload).duration_ms, abs=15
        )


def test_a_pair_is_not_planned_alone() -> None:
    with pytest.raises(ValueError, match="plan_pair"):
        plan(Behaviour.SHARING_PAIR, Random(1), DURATION_SECONDS, ())


def test_the_model_ranks_cheaters_above_honest_students() -> None:
    exam = simulate(2000, Setting(students=40))
    cheating = [s.risk for s in exam if s.behaviour.is_cheating]
    honest = [s.risk for s in exam if not s.behaviour.is_cheating]
    above = sum(c > h for c in cheating for h in honest)

    assert above > 0.8 * len(cheating) * len(honest)
