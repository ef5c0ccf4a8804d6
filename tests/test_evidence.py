"""What is committed in results/reference: it follows from its runs, and the README quotes it.

The lists below are fixed: a new method, a new noise pattern or a better competitor changes nothing here.
"""
import json

import numpy as np
import pandas as pd
import pytest

import figures
import ledger
import runs
import table
import theory
from conftest import PROJECT, REFERENCE

METHODS = ("f_correction", "decoupling", "coteaching", "mentornet", "d2l", "incv", "standard")
NOISE = ("sym 0.2", "sym 0.5", "sym 0.8", "asym 0.4")


@pytest.fixture(scope="module")
def readme():
    return (PROJECT / "README.md").read_text()


@pytest.fixture(scope="module")
def rows():
    """The rows of the committed table, of the methods and noise listed here."""
    every = table.rows(REFERENCE)
    return every[every["method"].isin(METHODS)]


def on_digits(rows):
    """The rows of the digits: (those of the defaults, the others)."""
    digits = rows[rows["dataset"] == "digits"]
    usual = ~digits["not_as_published"].str.contains("transition true|on jax|bfloat16")
    return digits[usual], digits[~usual]


# --- robust training --------------------------------------------------------------------------------------------------

def test_the_table_follows_from_the_runs():
    assert (REFERENCE / "table.md").read_text() == table.markdown(table.rows(REFERENCE))


def test_every_run_has_the_published_learning_rates():
    """80, 40, 40, 20, 20 of 200 epochs, or in proportion: no run of the older schedule, a drop one epoch later, is left."""
    files = sorted(REFERENCE.rglob("INCV_main_seed*.json"))
    assert files
    for file in files:
        provenance = json.loads(file.read_text())
        epochs = provenance["settings"]["epochs"]
        rates = pd.read_csv(runs.csv_of(file.with_suffix("")))["learning_rate"]
        counts = [int((rates == rate).sum()) for rate in (1e-3, 1e-4, 1e-5, 1e-6, 5e-7)]
        assert counts == [round(epochs * part) for part in (.4, .2, .2, .1, .1)] and sum(counts) == len(rates) == epochs, file
        assert runs.is_of_this_schedule(provenance["settings"]), file


def test_incv_is_far_above_plain_training(rows):
    usual = on_digits(rows)[0].set_index(["noise", "method"])
    for noise_name, least, better in (("sym 0.5", 95, 10), ("asym 0.4", 88, 5)):
        incv, standard = usual.loc[(noise_name, "incv")], usual.loc[(noise_name, "standard")]
        assert incv["runs"] >= 3 and standard["runs"] >= 3
        assert incv["accuracy"] >= least and incv["accuracy"] - standard["accuracy"] >= better
