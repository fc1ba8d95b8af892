"""What is read off Proxmox's curves: figures, fewer points, the sum of many nodes."""

import pytest

from services.curves import LATE_SECONDS, figures, thinned, total
from services.proxmox import Series


def of(times, **curves):
    return Series(times=tuple(times), curves={name: tuple(values) for name, values in curves.items()})


def test_a_curve_is_three_figures():
    """Latest, mean and highest are those of the samples that there are."""
    found = figures(range(0, 300, 60), (1.0, None, 5.0, 3.0, None))
    assert (found.latest, found.mean, found.highest) == (3.0, 3.0, 5.0)


@pytest.mark.parametrize(
    ("step", "gaps", "latest"),
    [(60, LATE_SECONDS // 60, 4.0), (60, LATE_SECONDS // 60 + 1, None), (1800, 1, 4.0), (1800, 2, None)],
)
def test_a_curve_that_has_ended_has_no_latest_figure(step, gaps, latest):
    """What was known minutes ago is not how it is now; over a week one sample that is still to come is no end."""
    values = (2.0, 4.0, *[None] * gaps)
    found = figures([step * index for index in range(len(values))], values)
    assert (found.latest, found.mean, found.highest) == (latest, 3.0, 4.0)


@pytest.mark.parametrize("values", [(), (None, None)])
def test_a_gap_throughout_has_no_figures(values):
    """What Proxmox has not noted is not zero."""
    assert figures(range(len(values)), values) is None


def test_few_points_stay_as_they_are():
    """A curve that is short enough is not touched."""
    series = of([0, 60, 120], cpu=[0.1, None, 0.3])
    assert thinned(series, 3) is series


def test_many_points_become_means():
    """Each point that is kept is the mean of those it stands for, and there are no more than wanted."""
    series = of(range(0, 600, 60), cpu=[0.0, 1.0] * 5)
    fewer = thinned(series, 5)
    assert fewer.times == (0, 120, 240, 360, 480)
    assert fewer.curve("cpu") == (0.5,) * 5


def test_a_gap_stays_a_gap():
    """Where nothing at all is known no point is made up, and one sample is enough for one."""
    series = of(range(6), cpu=[1.0, 1.0, None, None, None, 4.0])
    assert thinned(series, 3).curve("cpu") == (1.0, None, 4.0)


def test_bytes_of_many_nodes_are_added():
    """The cluster's memory is that of its nodes together."""
    assert total([of([0, 60], memused=[1.0, 2.0]), of([0, 60], memused=[10.0, 20.0])]).curve("memused") == (11.0, 22.0)


def test_shares_are_weighed():
    """A busy small node does not count like a busy large one."""
    small, large = of([0], cpu=[1.0], maxcpu=[4.0]), of([0], cpu=[0.0], maxcpu=[12.0])
    assert total([small, large], {"cpu": "maxcpu"}).curve("cpu") == (0.25,)


def test_a_share_without_its_weight_is_left_out():
    """Shares are never added up: two nodes at 80 % are no cluster at 160 %."""
    shares = [of([0], cpu=[0.8], memused=[1.0]), of([0], cpu=[0.8], memused=[2.0])]
    assert total(shares, {"cpu": "maxcpu"}).curves == {"memused": (3.0,)}


def test_a_node_that_is_away_adds_nothing():
    """The sum goes on without a node that went, and a time at which nobody told is a gap."""
    last = LATE_SECONDS * 3
    there, away = of([0, last, last + 60], mem=[1.0, None, 3.0]), of([0], mem=[10.0])
    assert total([there, away]).curve("mem") == (11.0, None, 3.0)


def test_the_end_waits_for_who_is_late():
    """A node that has not told its latest figure yet makes no dip: the sum ends where all have told."""
    early, late = of([0, 60, 120], mem=[1.0, 1.0, 1.0]), of([0, 60, 120], mem=[2.0, 2.0, None])
    found = total([early, late])
    assert found.times == (0, 60)
    assert found.curve("mem") == (3.0, 3.0)


def test_the_end_of_a_long_span_waits_too():
    """Where samples are half an hour apart, a node whose last one is still to come is not away."""
    early, late = of([0, 1800, 3600], mem=[1.0, 1.0, 1.0]), of([0, 1800, 3600], mem=[2.0, 2.0, None])
    assert total([early, late]).times == (0, 1800)


def test_nothing_adds_up_to_nothing():
    """Of nodes without a past there is no curve."""
    assert total([]) == Series()
    assert total([Series(), Series()]).times == ()
