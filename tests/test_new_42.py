"""To be sorted."""
import numpy as np
import pandas as pd
import pytest
from conftest import run
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from incv import data, models
from incv.checking import verdict
from incv.custom_data import table_file
from incv.label_issues import find_label_issues
from incv.runner import console

# --- verdict


@pytest.fixture(scope="module")
def checked():
    """(given labels, of 400 the first 40 wrong; probabilities of networks that are right about the true ones)."""
    y = np.arange(400) % 4
    given = np.where(np.arange(400) < 40, (y + 1) % 4, y)
    p = np.full((400, 4), 0.01)
    p[np.arange(400), y] = 0.97
    return given, p


@pytest.mark.parametrize("agreement, few_epochs, outcome, words", [
    (0.99, False, "use", "the list can be used: about 40"),  # the networks memorise
    (0.9, True, "use", "the list can be used: about 40"),  # all but the wrong labels
    (0.88, False, "use", "the list can be used: about 40"),  # within two standard errors, 0.03
    (0.88, True, "top", "check each of the 40 label issues .* only 88.0% of the labels they were trained on: train for more"),
    (0.84, False, "nothing", "nothing follows from this list yet: networks predict only 84.0% of the labels they were")])
def test_networks_that_do_not_fit_their_training_labels_are_not_believed(checked, agreement, few_epochs, outcome, words):
    """10 % of the labels are wrong: networks that have learned predict 90 % of those they were trained on, or more."""
    given, p = checked
    issue = p.argmax(axis=1) != given
    found = verdict.verdict(given, p, np.array([p, p]), issue, trained=verdict.Trained(
        agreement=agreement, few_epochs=few_epochs))
    assert found["outcome"] == outcome and found["training_agreement"] == agreement, found["sentence"]
    assert pd.Series(found["sentence"]).str.contains(words).all(), found["sentence"]
    assert (found["wrong"] is None) == (outcome == "nothing")


def test_no_more_labels_are_wrong_than_predictions_disagree_with(checked):
    """Passes that predict one class alone would make three quarters of the labels wrong; the first iteration knows better."""
    given, p = checked
    one_class = np.tile([0.97, 0.01, 0.01, 0.01], (400, 1))
    found = verdict.verdict(given, p, np.array([one_class, one_class]), given != 0,
                            trained=verdict.Trained(agreement=0.9, few_epochs=False))
    assert found["outcome"] == "nothing"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("epochs", [2, 4])
def test_a_table_on_which_networks_were_hardly_trained_has_no_list_to_use(epochs, seed):
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x).astype(np.float32)
    generator = np.random.default_rng(seed)
    given = np.where(generator.random(len(y)) < 0.12, (y + generator.integers(1, 3, len(y))) % 3, y)
    with pytest.warns(UserWarning, match=f"epochs={epochs} instead of 134, the default for 178 samples"):
        table = find_label_issues(x, given, lambda: models.dense(x.shape[1:], 3, momentum=0.9), epochs=epochs, seed=seed)
    assert table.attrs["verdict"]["outcome"] != "use", table.attrs["verdict"]["sentence"]


def test_few_epochs_are_warned_of(tmp_path):
    x, y = load_wine(return_X_y=True)
    np.savez(tmp_path / "wine.npz", x=x, y=y)
    few = run(["--dataset", "wine.npz", "--epochs", "2", "--iterations", "1"], tmp_path)
    assert "warning: 2 epochs instead of 134, the default for these data: networks that have not learned enough" in few.out
    history = pd.read_csv(next(tmp_path.glob("results/wine/given/*_history.csv")))
    known = history["training_agreement"].notna()
    assert history.loc[known, ["iteration", "epoch"]].to_numpy().tolist() == [[1, 2], [1, 2]]
    assert history.loc[known, "training_agreement"].between(0, 1).all()


@pytest.mark.parametrize("groups, number", [(None, "12 samples"), (np.repeat(np.arange(4), 3), "4 groups")])
def test_few_samples_are_too_few_whatever_their_features(groups, number):
    y = np.repeat([0, 1, 0, 1], 3)
    p = np.where(np.eye(2)[y] == 1, 0.95, 0.05)
    found = verdict.verdict(y, p, p[None], np.zeros(12, dtype=bool), groups)
    assert found["outcome"] == "nothing" and found["sentence"].endswith(
        f"{number} are too few to tell this from chance: give more"), found["sentence"]


# --- table_file

@pytest.mark.parametrize("top, told", [("# exported by hand\n# on 2024-01-01, by night\n", "2 lines"), ("#\n", "1 line"),
                                       ("#made; of\n\n# parts\n", "3 lines"), ("", None)])
def test_lines_at_the_top_that_begin_with_a_hash_are_comments(tmp_path, top, told):
    (tmp_path / "t.csv").write_text(top + "length,width,kind\n1,2,a\n3,4,b\n5,6,a\n")
    table, notes = table_file.read_table(tmp_path / "t.csv", "kind")
    assert table.to_dict("list") == {"length": [1, 3, 5], "width": [2, 4, 6], "kind": ["a", "b", "a"]}
    assert [note for note in notes if "comments" in note] == ([] if told is None else [
        f"{tmp_path / 't.csv'}: {told} at the top, from {top.splitlines()[0]!r} on, not used: comments"])


def test_a_header_that_begins_with_a_hash_is_kept(tmp_path):
    (tmp_path / "t.csv").write_text("# two parts\n#length,width,kind\n1,2,a\n3,4,b\n")
    table, _ = table_file.read_table(tmp_path / "t.csv", "kind")
    assert table.columns.tolist() == ["#length", "width", "kind"] and len(table) == 2


def test_a_comment_among_the_rows_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("# top\nlength,width,kind\n1,2,a\n# from here on by night\n3,4,b\n")
    with pytest.raises(data.DataError, match="line 4 has 1 field, the header 3: remove this comment"):
        table_file.read_table(tmp_path / "t.csv", "kind")


# --- console

def test_a_second_command_of_a_process_repeats_its_warnings(capsys):
    """As in a notebook, where modules stay imported."""
    def main():
        for _ in range(2):
            if console.first_time(("warnings", "results/flowers")):
                print("warning: one")

    for _ in range(2):
        console.run_command("INCV.py", main)
    assert capsys.readouterr().out == "warning: one\nwarning: one\n"


# --- start

def test_a_run_says_where_its_files_go(tmp_path):
    """A run that is started in another folder begins anew there: the path is absolute."""
    from conftest import SMALL

    first = run([*SMALL, "--quiet"], tmp_path).out.splitlines()[0]
    assert first.endswith(f"; files in {tmp_path / 'results' / 'digits' / 'sym' / '0.5'}"), first


# --- dates

@pytest.mark.parametrize("text, day", [
    ("1/2/69", "1969-02-01"), ("1/2/68", "2068-02-01"), ("01.02.76", "1976-02-01"), ("1-2-77 10:30", "1977-02-01"),
    ("3 Feb 72", "1972-02-03"), ("3-Feb-70", "1970-02-03"), ("3. Februar 71", None), ("Feb 3, 75", "1975-02-03"),
    ("Feb 77", "1977-02-01"), ("1/2/2076", "2076-02-01"), ("Feb 3 2075", "2075-02-03")])
def test_years_of_two_digits_do_not_depend_on_today(text, day):
    """pandas reads them as years within fifty years of today: another year's run would have other features."""
    from incv.custom_data import dates

    found = dates.parsed(pd.Series([text]), True)[0]
    assert str(found)[:10] == day if day else pd.isna(found)
