"""What the students of a bench do is drawn beforehand, and alike each time."""

from collections import Counter
from dataclasses import replace

from bench.morning.journal import Sample
from bench.morning.measures import Latency, percentile
from bench.morning.timetable import Action, Plan, draw

PLAN = Plan(
    name="test",
    students=50,
    log_in_seconds=10,
    start_seconds=10,
    work_seconds=60,
    storm_logins=7,
    storm_seconds=10,
    submit_seconds=20,
)


def test_the_same_plan_draws_the_same_morning() -> None:
    assert draw(PLAN) == draw(PLAN)


def test_a_student_logs_in_looks_starts_works_and_hands_in_in_this_order() -> None:
    students, crowd = draw(PLAN)

    for timetable in students:
        actions = [each.action for each in timetable]
        assert actions[:3] == [Action.LOG_IN, Action.LOOK, Action.START]
        assert actions[-1] is Action.SUBMIT
        counted = Counter(actions)
        assert counted[Action.LOG_IN] == counted[Action.SUBMIT] == 1
        assert 4 <= counted[Action.BEAT] <= 8
        assert 2 <= counted[Action.SAVE] <= 4
        assert [each.at for each in timetable] == sorted(e.at for e in timetable)
    assert [len(timetable) for timetable in crowd] == [1] * 7


def test_a_rush_is_at_the_beginning_of_the_phase() -> None:
    students, _ = draw(replace(PLAN, rush_seconds=2))

    starts = [e.at for each in students for e in each if e.action is Action.START]
    assert all(10 <= at <= 12 for at in starts)
    assert max(starts) - min(starts) > 1.5


def test_compression_leaves_out_the_time_in_between() -> None:
    life, dense = (
        sum(len(timetable) for timetable in draw(plan)[0])
        for plan in (PLAN, replace(PLAN, compression=10))
    )

    assert 7 < dense / life < 10


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]

    assert percentile(values, 0.50) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.95) == 7


def test_waiting_and_being_put_off_count_as_latency() -> None:
    sample = Sample(Action.BEAT, 1.0, 3.5, 3.6, (503, 0, 200), is_good=True)

    found = Latency.of([sample])

    assert found.p50 == 2600
    assert found.served_p99 == 100
    assert found.put_off == 2
    assert found.failed == 0
