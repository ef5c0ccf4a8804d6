"""The whole project: what is committed in results/reference follows from its runs, and README and docs quote it.

The lists below are fixed: a new method, a new noise pattern or a better competitor changes nothing here.
"""
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, REFERENCE

from incv.benchmarks import coverage, label_issues, ledger, quote
from incv.reporting import tables
from incv.runner import files

METHODS = quote.METHODS


@pytest.fixture(scope="module")
def rows():
    """The rows of the committed table, of the methods and noise listed here."""
    every = tables.accuracies(tables.read_runs(REFERENCE))
    return every[every["method"].isin(METHODS)]


def on_digits(rows):
    """The rows of the digits: (those of the defaults, the others)."""
    digits = rows[rows["dataset"] == "digits"]
    usual = ~digits["not_as_published"].str.contains("transition true|on jax|bfloat16")
    return digits[usual], digits[~usual]


# --- robust training --------------------------------------------------------------------------------------------------

def test_the_table_follows_from_the_runs():
    assert (REFERENCE / "table.md").read_text() == tables.accuracy_markdown(tables.accuracies(tables.read_runs(REFERENCE)))


def test_every_run_has_the_published_learning_rates():
    """80, 40, 40, 20, 20 of 200 epochs, or in proportion."""
    found = sorted(REFERENCE.rglob("INCV_main_seed*.json"))
    assert found
    for file in found:
        provenance = json.loads(file.read_text())
        epochs = provenance["settings"]["epochs"]
        rates = pd.read_csv(files.csv_of(file.with_suffix("")))["learning_rate"]
        counts = [int((rates == rate).sum()) for rate in (1e-3, 1e-4, 1e-5, 1e-6, 5e-7)]
        assert counts == [round(epochs * part) for part in (.4, .2, .2, .1, .1)] and sum(counts) == len(rates) == epochs, file


@pytest.mark.parametrize("noise_name, least, better", [("sym 0.5", 95, 10), ("asym 0.4", 88, 5)])
def test_incv_is_far_above_plain_training(rows, noise_name, least, better):
    usual = on_digits(rows)[0].set_index(["noise", "method"])
    incv, standard = usual.loc[(noise_name, "incv")], usual.loc[(noise_name, "standard")]
    assert incv["runs"] >= 3 and standard["runs"] >= 3
    assert incv["accuracy"] >= least and incv["accuracy"] - standard["accuracy"] >= better


def test_bfloat16_pays_no_accuracy(rows):
    """INCV on the digits, at least three seeds each: within one s.d. of float32."""
    rows = rows[rows["dataset"] == "digits"]
    half = rows[(rows["noise"] == "sym 0.5") & rows["not_as_published"].str.contains("bfloat16")]
    assert "incv" in set(half["method"])
    for row in half.itertuples():
        same = (rows["noise"] == "sym 0.5") & (rows["method"] == row.method)
        exact = rows[same & (rows["not_as_published"] == row.not_as_published.replace(", precision bfloat16", ""))]
        assert row.runs >= 3 and exact["runs"].item() >= 3
        assert abs(row.accuracy - exact["accuracy"].item()) <= exact["sd"].item()


# --- theory -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pattern", ["sym", "asym"])
def test_the_digits_agree_with_theory(pattern):
    """Over three seeds, both halves: within .10 (LR .15) plus two standard errors at every ratio, .06 on average."""
    folder = REFERENCE / "digits" / pattern
    assert all(len(of_ratio) == 3 and all(r.memorised and len(r.table) == 1500 for r in of_ratio)
               for of_ratio in tables.read_theory(folder, "_both_halves").values())
    found = tables.differences_from_theory(folder, "_both_halves")
    assert list(found) == [0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1]
    for quantity, bound in (("accuracy", .10), ("LP", .10), ("LR", .15)):
        values = np.array([of_ratio[quantity] for of_ratio in found.values()])
        empty = np.isnan(values[:, 0])
        assert empty.tolist() == [quantity == "LR" and ratio == 1 for ratio in found]
        assert (np.abs(values[~empty, 0]) <= bound + 2 * values[~empty, 1]).all()
        assert np.abs(values[~empty, 0]).mean() <= .06


def test_csvs_of_the_theory_have_the_json_that_made_them():
    found = tables.read_runs(REFERENCE)
    found = found[found["script"] == "Verify_Theory"]
    csvs = [file for file in REFERENCE.rglob("Verify_Theory_seed*.csv*") if "_history.csv" not in file.name]
    assert len(found) == len(csvs)
    for run in found.itertuples():
        table, provenance = pd.read_csv(files.csv_of(run.path)), run.provenance
        assert run.path.parent == REFERENCE / run.dataset / run.noise_pattern / str(run.noise_ratio)
        assert files.name_of_settings(run.path).count("both_halves") == provenance["settings"].both_halves
        assert provenance["measured"]["accuracy"] == pytest.approx((table["y_pred"] == table["y_noisy"]).mean())
        assert provenance["memorised"] == table["memorised"].all()


# --- what the pages quote ---------------------------------------------------------------------------------------------

def test_the_ledger_follows_from_the_runs():
    assert (REFERENCE / "README.md").read_text() == ledger.ledger_page(REFERENCE)


def test_the_tables_of_label_issues_follow_from_their_runs():
    means, settings = label_issues.tables(pd.read_csv(REFERENCE / "label_issues.csv"))
    assert (REFERENCE / "label_issues.md").read_text() == means
    assert (REFERENCE / "label_issues_settings.csv").read_text() == settings.to_csv(index=False, lineterminator="\n")


def test_intervals_hold_the_number_of_wrong_labels_in_nine_cells_of_ten():
    """In at least nine simulations of ten; none has no width."""
    found = pd.read_csv(REFERENCE / "coverage.csv")
    cells = coverage.table(found)
    assert (REFERENCE / "coverage.md").read_text() == cells.to_markdown(index=False, floatfmt=".2f") + "\n"
    assert (cells["covered"] >= 0.9).mean() >= 0.9 and (cells["width"] > 0).all()
    given = found[found["wrong"].notna()]
    assert (given["wrong_low"] < given["wrong_high"]).all()


@pytest.mark.parametrize("page", quote.pages(), ids=lambda page: page.name)
def test_a_page_quotes_the_runs(page):
    """`python -m incv.benchmarks.quote` writes these tables."""
    assert page.read_text() == quote.fill(page.read_text(), quote.quoted())


def test_the_readme_shows_the_results():
    text = (PROJECT / "README.md").read_text()
    assert "<!-- full scale -->" in text and "<!-- digits -->" in text and len(text.splitlines()) <= 180


def test_the_readme_says_how_well_lists_are_as_they_were_measured():
    """The figures of its sentences on custom datasets, from the rows of the benchmark."""
    found, text = pd.read_csv(REFERENCE / "label_issues.csv"), " ".join((PROJECT / "README.md").read_text().split())
    f1 = found[found["set"] == "classifiers"].groupby("method")["f1"].mean()
    assert f"a mean F1 of {f1['ours']:.2f} over 58 settings, cleanlab's {f1['cleanlab']:.2f}" in text
    assert "<!-- photos -->" in text


def test_lists_on_features_rank_better_than_those_of_others_and_from_scratch():
    """Average precision in every setting on features that has run, and beside networks from scratch on the same labels."""
    found = pd.read_csv(REFERENCE / "label_issues.csv")
    of_features = found[found["set"] == "features"]
    assert set(of_features["noise"]) == {"sym 0.2", "sym 0.5", "asym 0.3", "human worse_label"}
    wide = of_features.pivot(index=["data", "noise", "seed"], columns="method", values="average_precision")
    for other in ("cleanlab", "vote"):
        both = wide.dropna(subset=[other])
        assert len(both) >= 8 and (both["ours"] > both[other]).all()
    scratch = found[(found["set"] == "cifar10") & (found["method"] == "ours")].set_index("seed")["average_precision"]
    assert (wide.loc["CIFAR-10, 5,000, features", "sym 0.2"]["ours"] - scratch > 0.2).all()


def test_the_tables_on_features_and_of_heads_follow_from_their_runs():
    found = pd.read_csv(REFERENCE / "label_issues.csv")
    assert (REFERENCE / "label_issues_features.md").read_text() == label_issues.on_features(found)
    assert (REFERENCE / "label_issues_heads.md").read_text() == label_issues.of_heads(found)
    assert set(found["seed"][found["set"] == "heads"]) == {0, 1}  # those that are not reported otherwise
    assert not found["seed"][~found["set"].isin(["heads", "random"])].isin([0, 1]).any()


def test_links_and_pictures_of_the_pages_exist():
    for page in quote.pages():
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
