"""What one tab is sent of the list of guests: blocks when it asks, and then what changed in view."""

from dataclasses import replace

import pytest

from services.proxmox import Guest
from ui.guest_rows import Sorting, rows_of
from ui.guest_search import understand
from ui.guest_window import BLOCK, MOST_BLOCKS, Window, read


def guests(count=200, **more):
    return tuple(
        Guest(vmid=vmid, type="qemu", node="pve1", status="running", name=f"vm{vmid}", cpu=0.1, **more)
        for vmid in range(1, count + 1)
    )


def changed(all, *vmids, **facts):
    return tuple(replace(one, **facts) if one.vmid in vmids else one for one in all)


def asked(number=1, search="", sort="", blocks=(0,), first=0, last=19, **more):
    made = {
        "number": number,
        "search": search,
        "sort": sort,
        "blocks": list(blocks),
        "first": first,
        "last": last,
        **more,
    }
    assert read(made) is not None, made
    return read(made)


def window(all, **question):
    """A window that has been answered once."""
    made = Window(understand(""), Sorting())
    made.ask(asked(**question))
    return made, made.answer(rows_of(all))


def vmids(sent):
    """The guests sent: by block, and single ones by their places."""
    return {start: [row[0] for row in block] for start, block in sent.blocks}, {at: row[0] for at, row in sent.rows}


def test_nothing_is_sent_before_the_browser_has_asked():
    """A page that has not asked yet, or is drawn anew, is sent nothing."""
    assert Window(understand(""), Sorting()).refresh(rows_of(guests())) is None


def test_the_first_question_is_answered_with_its_block_and_the_count():
    """A tab gets the block it asks for, the number of its question and how many guests there are."""
    _, sent = window(guests(), number=7)
    assert (sent.number, sent.count) == (7, 200)
    assert vmids(sent) == ({0: list(range(1, BLOCK + 1))}, {})


def test_the_first_block_can_stand_in_the_page():
    """A tab whose page had the first block is sent what has changed since, and a later search whole."""
    all = guests()
    made = Window(understand(""), Sorting())
    assert vmids(made.opening(rows_of(all))) == ({0: list(range(1, BLOCK + 1))}, {})
    assert made.refresh(rows_of(all)) is None
    made.ask(asked(blocks=[], opened=True))
    assert vmids(made.answer(rows_of(changed(all, 7, cpu=0.5)))) == ({}, {6: 7})
    made.ask(asked(number=2, sort="-vmid"))
    assert vmids(made.answer(rows_of(all)))[0][0][0] == 200


def test_a_page_that_is_drawn_anew_is_sent_its_block_again():
    """A question that does not say that its tab has the page's block is answered whole."""
    all = guests()
    made = Window(understand(""), Sorting())
    made.opening(rows_of(all))
    made.ask(asked())
    assert vmids(made.answer(rows_of(all)))[0].keys() == {0}


def test_a_question_before_the_first_picture_is_answered_with_it():
    """What is asked while nothing is known yet is not forgotten."""
    made = Window(understand(""), Sorting())
    made.ask(asked(blocks=[0]))
    made.ask(asked(blocks=[50]))
    assert vmids(made.answer(rows_of(guests())))[0].keys() == {0, 50}


def test_only_rows_in_view_whose_text_changed_are_sent():
    """With a new picture, the tab gets those rows between the first and last in view that look different."""
    all = guests()
    made, _ = window(all, first=10, last=19)
    sent = made.refresh(rows_of(changed(all, 5, 11, 15, 20, 21, 150, cpu=0.5)))
    assert vmids(sent) == ({}, {10: 11, 14: 15, 19: 20})


def test_a_change_that_nobody_sees_sends_nothing():
    """A figure that moved, but not in what is displayed of it, is not sent."""
    all = guests()
    made, _ = window(all)
    assert made.refresh(rows_of(changed(all, 1, 2, 3, cpu=0.1001, netin=5))) is None
    assert made.refresh(rows_of(all)) is None


def test_rows_that_went_old_out_of_view_are_put_right_as_they_come_into_view():
    """A row that changed while it was out of view is sent when the tab says that it is in view."""
    all = guests()
    made, _ = window(all, first=0, last=9)
    newer = rows_of(changed(all, 31, cpu=0.5))
    assert made.refresh(newer) is None
    made.ask(asked(blocks=[], first=25, last=35))
    assert vmids(made.answer(newer)) == ({}, {30: 31})
    assert made.refresh(newer) is None


def test_another_order_sends_the_places_in_view_that_it_changed():
    """When the order in view has changed, each place gets its new guest, and the others are left as they are."""
    all = guests()
    made, sent = window(all, sort="-cpu")
    assert vmids(sent)[0][0][:3] == [1, 2, 3]
    assert vmids(made.refresh(rows_of(changed(all, 3, cpu=0.9)))) == ({}, {0: 3, 1: 1, 2: 2})


def test_a_new_search_starts_anew():
    """A question with another number is answered whole, for its own search and order, even where rows are the same."""
    all = changed(guests(), 3, 4, status="stopped")
    made, _ = window(all)
    made.ask(asked(number=2, search="stopped", sort="-vmid"))
    sent = made.answer(rows_of(all))
    assert (sent.number, sent.count, vmids(sent)) == (2, 2, ({0: [4, 3]}, {}))


def test_no_match_is_an_answer_too():
    """A search that finds nothing is answered with an empty block."""
    made, _ = window(guests())
    made.ask(asked(number=2, search="nothing-like-it"))
    sent = made.answer(rows_of(guests()))
    assert (sent.count, vmids(sent)) == (0, ({0: []}, {}))


def test_guests_that_come_and_go_change_the_count_and_the_rows_in_view():
    """With fewer or more guests the count is sent, and what moved up or is new in view.

    What stood beyond a shorter list's end is still in the browser when it grows again.
    """
    all = guests(10)
    made, _ = window(all)
    sent = made.refresh(rows_of(all[:7] + all[8:]))
    assert (sent.count, vmids(sent)) == (9, ({}, {7: 9, 8: 10}))
    sent = made.refresh(rows_of(guests(12)))
    assert (sent.count, vmids(sent)) == (12, ({}, {7: 8, 8: 9, 10: 11, 11: 12}))


def test_a_list_that_grows_into_a_new_block_brings_it_unasked():
    """The browser needs to ask for nothing, which would count as a person's doing."""
    made, _ = window(guests(45), first=30, last=60)
    sent = made.refresh(rows_of(guests(70)))
    assert (sent.count, vmids(sent)[0]) == (70, {50: list(range(51, 71))})
    assert vmids(sent)[1] == {at: at + 1 for at in range(45, 50)}


def test_a_list_that_shrinks_and_grows_again_brings_its_blocks_again():
    """The browser drops the blocks beyond the end of a list, so they are sent anew when it grows back."""
    made, _ = window(guests(70), blocks=[0, 50], first=40, last=69)
    assert made.refresh(rows_of(guests(45))).count == 45
    assert vmids(made.refresh(rows_of(guests(70))))[0] == {50: list(range(51, 71))}


def test_a_list_that_shrinks_to_blocks_the_tab_has_not_brings_them():
    """With all that was in view gone, what is in view instead comes without a question."""
    made, _ = window(guests(400), blocks=[350], first=370, last=399)
    assert vmids(made.refresh(rows_of(guests(120))))[0] == {50: list(range(51, 101)), 100: list(range(101, 121))}


def test_a_list_that_shrinks_shows_its_end():
    """With the view beyond its end, a shorter list is fresh where it ends."""
    all = guests(200)
    made, _ = window(all, blocks=[0, 100, 150], first=180, last=199)
    shorter = changed(all[:40], 25, cpu=0.7)
    sent = made.refresh(rows_of(shorter))
    assert (sent.count, vmids(sent)) == (40, ({}, {24: 25}))


def test_a_tab_holds_few_rows_here():
    """However far somebody scrolls, only the last blocks are remembered; others are sent whole when asked for again."""
    all = guests(BLOCK * (MOST_BLOCKS + 3))
    made, _ = window(all)
    for block in range(1, MOST_BLOCKS + 3):
        made.ask(asked(blocks=[block * BLOCK], first=block * BLOCK, last=block * BLOCK + 9))
        made.answer(rows_of(all))
    assert len(made._held) == MOST_BLOCKS
    made.ask(asked(blocks=[0]))
    assert vmids(made.answer(rows_of(all)))[0] == {0: list(range(1, BLOCK + 1))}


@pytest.mark.parametrize(
    "wrong",
    [None, 5, [], {}, {"number": "1"}, {"blocks": "0"}, {"blocks": [-1]}, {"blocks": [0] * 13}, {"first": 1e9},
     {"search": "x" * 501}, {"search": None}, {"sort": "x" * 21}, {"last": True}, {"first": 0.5}],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_none(wrong):
    """What no page of ours would send is not obeyed."""
    good = {"number": 1, "search": "", "sort": "", "blocks": [0], "first": 0, "last": 9}
    assert read(good) is not None
    assert read({**good, **wrong} if isinstance(wrong, dict) and wrong else wrong) is None


def test_a_view_is_bounded():
    """A tab that claims to see everything is not sent everything."""
    all = guests(BLOCK * (MOST_BLOCKS + 10))
    made, _ = window(all, blocks=range(0, BLOCK * MOST_BLOCKS, BLOCK), first=0, last=1_000_000)
    sent = made.refresh(rows_of(changed(all, *range(1, len(all) + 1), cpu=0.5)))
    assert len(sent.rows) <= BLOCK * MOST_BLOCKS + 1


def test_questions_that_pile_up_are_answered_in_part():
    """However many blocks a tab asks for before it is answered, it is sent the last few."""
    made, all = Window(understand(""), Sorting()), guests(10_000)
    made.answer(rows_of(all))
    for first in range(0, 60, MOST_BLOCKS):
        made.ask(asked(blocks=range(first, first + MOST_BLOCKS)))
    assert len(made.answer(rows_of(all)).blocks) <= MOST_BLOCKS
