"""The list of label issues: its columns and its order, by hand."""
import numpy as np
import pytest

from incv import INCV
from incv.checking import issue_table, last_pass
from incv.checking.issue_table import by_last_passes, by_selection, status_of, worst_first


def test_the_list_by_hand():
    """Five samples of two classes: selected; removed and contradicted; a candidate contradicted more; one that was removed
    but is confirmed since; a candidate contradicted least."""
    p = np.array([[.9, .1], [.2, .8], [.99, .01], [.3, .7], [.45, .55]])
    given, first = np.array([0, 0, 1, 1, 0]), np.full((5, 2), .5)
    selection = INCV.Selection(select=np.array([True, False, False, False, False]),
                               candidate=np.array([False, False, True, False, True]), ratio=.2, records=[], early=None,
                               first=first, out_of_fold=p)
    table = by_selection(given, np.array(["no", "yes"]), list("abcde"), selection)
    assert table["status"].tolist() == ["selected", "removed", "candidate", "removed", "candidate"]
    assert table["issue"].tolist() == [False, True, True, False, True]
    worst = worst_first(table)
    assert worst["sample"].tolist() == ["c", "b", "e"] and worst["suggested"].tolist() == ["no", "yes", "yes"]
    assert worst["p_given"].tolist() == [.01, .2, .45] and worst["p_suggested"].tolist() == [.99, .8, .55]
    predicted = last_pass.Predicted(y=given, p=p, last=p, first=first, consistency=0.8)
    table = by_last_passes(predicted, np.array(["no", "yes"]), list("abcde"), status_of(selection))
    assert table["p_given"].tolist() == [.9, .2, .01, .7, .45]
    assert np.allclose(table["margin"][2], np.log((.99 + 0.001) / (.01 + 0.001)))


def test_the_samples_of_the_worst_group_come_first():
    """Four groups by hand, of which the list has three: not the worst sample decides, but the mean of its group."""
    p = np.array([[.9, .1], [.6, .4], [.1, .9], [.2, .8], [.01, .99], [.99, .01], [.3, .7], [.9, .1]])
    given, group = np.array([1, 1, 0, 0, 0, 0, 0, 0]), np.array(["a", "a", "b", "b", "c", "c", None, "d"], dtype=object)

    def listed(given):
        predicted = last_pass.Predicted(y=given, p=p, last=p, first=p)
        table = issue_table.by_last_passes(predicted, None, np.arange(8), "removed", groups=group)
        return table, issue_table.worst_first(table)["sample"].tolist()

    table, samples = listed(given)
    assert table["issue"].tolist() == [True, False, True, True, True, False, True, False]
    assert table["group_margin"][4] == pytest.approx(0, abs=1e-12)
    assert samples == [2, 3, 0, 6, 4]  # b; a, of which one sample is not listed; of no group; c
    # Labels that are not of groups: by the margin of each.
    _, samples = listed(np.array([1, 0, 0, 1, 0, 1, 0, 0]))
    assert samples == [4, 5, 0, 2, 6]
