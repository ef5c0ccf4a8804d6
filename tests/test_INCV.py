"""INCV.py: Algorithm 1 by hand and against a literal version, any training function, and the command end to end."""
import json
import math
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, INCV_FILES, ONE_EPOCH, PROJECT, SMALL, SMALL_NAME, SMALL_NETWORK, files_in, finished_names, run
from examples import X6, Y6, N, flipped, list_written, mixed_table, refused
from sklearn.datasets import load_wine

from incv import INCV, data, noise, utils
from incv.runner import console
from incv.runner.settings import Settings

utils.start_backend(threads=2)

from incv import training  # noqa: E402


def confident(labels, num_classes, p=0.9):
    """Probabilities [n, c] that predict these labels."""
    probabilities = np.full((len(labels), num_classes), (1 - p) / (num_classes - 1))
    probabilities[np.arange(len(labels)), labels] = p
    return probabilities


def by_hand(train_index, held_out, *_):
    """Ten classes, all observed labels 0, 20 held out. In order of position the samples' p[y_noisy] is as in `p`: the
    first six agree (their p is the largest of the row), the others do not (0.5 lies on class 1)."""
    p = [.101, .5, .5, .5, .5, .5, .01, .02, .03, .04] + [.05 + .01 * i for i in range(10)]
    rows = np.zeros((20, 10))
    for row, value in zip(rows, p, strict=True):
        if value in (.101, .5):
            row[:] = (1 - value) / 9
        else:
            row[:], row[1] = (.5 - value) / 8, .5
        row[0] = value
    return rows


@pytest.mark.parametrize("pattern", ("sym", "asym"))
def test_one_iteration_by_hand(pattern):
    """Share 6/20 = .3, so the estimate is .476 (tests/test_noise.py), r = .476/.524 = .908 and floor(.908 * 6) = 5 samples
    of each half are in R: the five smallest p[y_noisy], .01 .02 .03 .04 .05. The sixth, .06, stays, as does .101."""
    halves = []

    def train(train_index, held_out, *rest):
        halves.append((train_index, held_out))
        return by_hand(train_index, held_out, *rest)

    found = INCV.incv(np.zeros(40, int), 10, pattern, train=train, iterations=1)
    assert found.ratio == 0.476 and found.early is None
    (part1, held1), (part2, held2) = halves
    assert (part1 == held2).all() and (part2 == held1).all() and sorted([*held1, *held2]) == list(range(40))
    removed = range(6, 11) if pattern == "sym" else []
    for held_out in (held1, held2):
        assert np.flatnonzero(found.select[held_out]).tolist() == [0, 1, 2, 3, 4, 5]
        assert np.flatnonzero(~found.select[held_out] & ~found.candidate[held_out]).tolist() == list(removed)
    assert found.records == [{"iteration": 1, "selected": 12, "removed": 2 * len(removed), "selected_in_all": 12,
                              "left": 28 - 2 * len(removed), "estimated_noise_ratio": 0.476, "best_epoch": True}]


def test_a_sample_both_selected_and_to_be_removed_is_selected():
    """p[y_noisy] = .101 agrees with all other classes at .0999 and is the smallest of all: in T and in R."""
    def train(train_index, held_out, *_):
        rows = np.full((20, 10), (1 - .101) / 9)
        rows[:, 0] = .101
        rows[6:], rows[6:, 0], rows[6:, 1] = .3 / 8, .2, .5
        return rows

    found = INCV.incv(np.zeros(40, int), 10, "sym", train=train, iterations=1)
    assert found.ratio == 0.476 and found.records[0]["selected"] == 12 and found.records[0]["removed"] == 0
    assert found.candidate.sum() == 28


@pytest.mark.parametrize("pattern, ratio", [("sym", 0.2), ("sym", 0.5), ("sym", 0.9), ("asym", 0.4)])
def test_algorithm_1_against_a_literal_version(pattern, ratio):
    """The steps of section 4 with sets and loops, on random predictions; the halves are those that incv trained on."""
    num_classes, n = 5, 300
    generator = np.random.default_rng(0)
    y = np.arange(n) % num_classes
    y_noisy = noise.flip_labels(y, noise.transition_matrix(pattern, ratio, num_classes), generator)
    calls = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked = np.concatenate([held_out, removed])
        guess = noise.flip_labels(y[asked], noise.transition_matrix(pattern, ratio, num_classes), generator)
        probabilities = 0.5 * confident(guess, num_classes) + 0.5 * generator.dirichlet(np.ones(num_classes), len(guess))
        calls.append((set(train_index.tolist()), held_out, removed, probabilities))
        return probabilities

    found = INCV.incv(y_noisy, num_classes, pattern, train=train, seed=3)
    S, C, e, latest = set(), set(range(n)), None, {}
    for record in found.records:
        T, R = [], []
        parts = [calls.pop(0), calls.pop(0)]
        for (trained_on, held_out, removed, probabilities), (_, other_half, *_) in zip(parts, reversed(parts), strict=True):
            assert trained_on == S | set(other_half.tolist()) and set(held_out.tolist()) == C - set(other_half.tolist())
            assert set(removed.tolist()) == set(range(n)) - S - C  # not trained on, so predicted by both
            latest |= dict(zip(held_out, probabilities, strict=False))  # those of removed follow
            T_half = [i for i, p in zip(held_out, probabilities, strict=False) if np.argmax(p) == y_noisy[i]]
            if e is None:
                share = len(T_half) / len(held_out)
                e = next((k / 1000 for k in range(1, 1001)
                          if (1 - k / 1000) ** 2 + (k / 1000) ** 2 / (num_classes - 1) <= share), 1)
            r = 2 if e == 1 else min(2, e / (1 - e))
            by_loss = sorted(zip(held_out, probabilities, strict=False), key=lambda pair: pair[1][y_noisy[pair[0]]])
            R += [i for i, _ in by_loss[:math.floor(r * len(T_half))]]
            T += T_half
        for position, sample in enumerate(parts[0][2]):
            latest[sample] = np.mean([part[3][len(part[1]) + position] for part in parts], axis=0)
        S |= set(T)
        C -= set(T)
        if pattern == "sym":
            C -= set(R)
        assert (record["selected_in_all"], record["left"]) == (len(S), len(C))
    assert set(np.flatnonzero(found.select)) == S and set(np.flatnonzero(found.candidate)) == C and found.ratio == e
    assert len(found.records) == 4 or found.early
    assert found.out_of_fold == pytest.approx(np.array([latest[i] for i in range(n)]))


def test_which_iterations_take_the_best_epoch():
    k = INCV.iterations_with_best_epoch
    assert [k("asym", r) for r in (.1, .5, .9)] == [1, 1, 1]
    assert [k("sym", r) for r in (.2, .3, .301, .6, .601, 1.0)] == [4, 4, 2, 2, 1, 1]
    asked = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked.append((iteration, half, keep_best))
        return by_hand(train_index, held_out)[:len(held_out)]

    INCV.incv(np.zeros(40, int), 10, "asym", train=train, iterations=2)
    assert asked == [(1, 1, True), (1, 2, True), (2, 1, False), (2, 2, False)]


def test_rounding_takes_no_sample_from_the_remove_set():
    # .6 / (1 - .6) is 1.4999999999999998 in floating point; 1.5 * 10 are 15.
    probabilities = confident(np.zeros(30, int), 2) - np.arange(30)[:, None] * 1e-3
    assert len(INCV.remove_set(probabilities, np.zeros(30, int), np.arange(30), 10, 0.6)) == 15
    assert len(INCV.remove_set(probabilities, np.zeros(30, int), np.arange(30), 0, 1.0)) == 0


def test_nothing_selected_ends_early():
    wrong = lambda train_index, held_out, *_: confident(np.ones(len(held_out), int), 3)  # noqa: E731
    found = INCV.incv(np.zeros(30, int), 3, "sym", train=wrong)
    assert not found.select.any() and found.candidate.all() and found.ratio == 1.0 and len(found.records) == 1
    assert found.early == "nothing was selected in iteration 1"


def test_no_candidate_left_ends_early():
    right = lambda train_index, held_out, *_: confident(np.zeros(len(held_out), int), 3)  # noqa: E731
    found = INCV.incv(np.zeros(30, int), 3, "sym", train=right)
    assert found.select.all() and not found.candidate.any() and found.ratio == 0.001 and len(found.records) == 1
    assert found.early.startswith("0 candidates left")


def test_a_half_that_would_be_empty_ends_early():
    # All but sample 7 agree, and nothing is removed for asym: one candidate is left, too few to split.
    def train(train_index, held_out, *_):
        return confident((held_out == 7).astype(int), 3)

    found = INCV.incv(np.zeros(30, int), 3, "asym", train=train)
    assert np.flatnonzero(found.candidate).tolist() == [7] and len(found.records) == 1
    assert found.early.startswith("1 candidate left")


# --- any training function --------------------------------------------------------------------------------------------

def with_train(train, y=np.arange(20) % 10, pattern="sym"):
    return lambda: INCV.incv(y, 10, pattern, train=train, iterations=1)


def returning(change):
    return lambda train_index, held_out, removed, *rest: change(confident(np.zeros(len(held_out) + len(removed), int), 10))


@pytest.mark.parametrize("change, words", [
    (lambda p: p[:-1], "shape (9, 10): return (10, 10)"), (lambda p: p[:, :9], "shape (10, 9)"),
    (lambda p: p.argmax(axis=1), "shape (10,)"), (lambda p: p * np.nan, "NaN"), (np.log, "such as logits"),
    (lambda p: 3 * p, "such as logits"), (lambda p: [p, p[:0]], "returned a list: return one array"),
    (lambda p: (p, p[:0]), "returned a tuple"), (lambda p: None, "shape ()"),
    (lambda p: np.where(p < p.max(), -1e-6, 1.0), "negative"), (lambda p: p.astype(object), "of object"),
    (lambda p: p.astype(str), "of <U"), (lambda p: np.ma.masked_array(p, p < 0.1), "masked values")])
def test_what_train_returns_is_checked(change, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        with_train(returning(change))()
    assert "\n" not in str(error.value)


def test_train_may_change_the_arrays_that_it_gets():
    """It may sort or shuffle them in place; the result is that of one that does not."""
    def changing(train_index, held_out, removed, *rest):
        found = confident(np.arange(len(held_out) + len(removed)) % 10, 10)
        y[:], train_index[:], held_out[:], removed[:] = 0, 0, 0, 0
        return found

    y = np.arange(20) % 10
    found = with_train(changing, y)()
    expected = with_train(lambda train_index, held_out, removed, *rest: confident(
        np.arange(len(held_out) + len(removed)) % 10, 10))()
    assert np.array_equal(found.select, expected.select) and np.array_equal(found.out_of_fold, expected.out_of_fold)


def test_a_rounding_error_below_zero_is_no_negative_probability():
    found = with_train(returning(lambda p: np.where(p < p.max(), -1e-17, 1.0)))()
    assert np.array_equal(found.select, with_train(returning(lambda p: np.where(p < p.max(), 0, 1.0)))().select)


@pytest.mark.parametrize("name, value", [
    ("trusted", np.zeros(20, int)), ("trusted", np.array([1, 2, 3])), ("trusted", np.zeros(5, bool)), ("trusted", [None] * 20),
    ("trusted", np.zeros((20, 2), bool)), ("groups", np.arange(4)), ("groups", [[1], [2, 3]] * 10), ("groups", 3.0),
    ("iterations", 1.5), ("iterations", True), ("seed", -1), ("seed", None)])
def test_other_arguments_are_checked(name, value):
    with pytest.raises(ValueError, match=name) as error:
        INCV.incv(np.arange(20) % 10, 10, "sym", **{"train": returning(lambda p: p), "iterations": 1, name: value})
    assert "\n" not in str(error.value)


def test_more_classes_than_fit_into_memory_are_refused():
    with pytest.raises(ValueError, match="num_classes=1000000000000: the probabilities of 20 samples do not fit into memory"):
        INCV.incv(np.arange(20) % 10, 10 ** 12, "sym", train=returning(lambda p: p), iterations=1)


def test_trusted_samples_and_groups_may_be_lists():
    trusted, groups = np.arange(20) < 3, np.arange(20) // 2
    found = [INCV.incv(np.arange(20) % 10, 10, "sym", train=returning(lambda p: p), iterations=2, trusted=of_type(trusted),
                       groups=of_type(groups)) for of_type in (list, np.array)]
    assert np.array_equal(found[0].select, found[1].select) and found[0].select[:3].all()


def test_labels_and_pattern_are_checked():
    right = returning(lambda p: p)
    assert with_train(right, list(range(10)) * 2)().select.sum() == 2  # a list of integers will do
    for y, words in (([0.0, 1.0] * 9, "float64"), (["a", "b"] * 9, "numpy.unique"), ([[0], [1]], "shape (2, 1)"),
                     ([0, 10] * 9, "from 0 to 10: 10 classes"), ([-1, 1] * 9, "from -1 to 1")):
        with pytest.raises(ValueError, match=re.escape(words)):
            with_train(right, y)()
    with pytest.raises(ValueError, match="unknown noise pattern 'mine.npy'"):
        with_train(right, pattern="mine.npy")()


def test_the_example_of_the_docstring_runs_from_another_folder(tmp_path):
    """It is that of docs/own_network.md, of about twelve lines; all but a few of the wine labels are selected."""
    example = textwrap.dedent(INCV.incv.__doc__.split("With any classifier::")[1].split("    Parameters")[0]).strip()
    assert example in (PROJECT / "docs/own_network.md").read_text()
    assert len([line for line in example.splitlines() if line]) <= 12
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})
    found = re.fullmatch(r"(\d+) of 178 labels selected, noise ratio 0\.\d+\n", done.stdout)
    assert done.returncode == 0 and done.stderr == "" and int(found[1]) > 165, done.stderr


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    return generator.integers(0, 17, (50, 8, 8, 1), dtype=np.uint8), generator.integers(0, 10, 50)


@pytest.mark.parametrize("keep_best, start, expected",
                         [(True, 0, 1), (False, 0, 4), (True, 2, 1), (True, 3, 1), (False, 3, 4)])
def test_a_training_returns_the_best_or_the_last_epoch(samples, monkeypatch, keep_best, start, expected):
    """Held-out accuracies .1 .5 .2 .5 .3: the best epoch is the first of the two best. Every epoch trains with its rate on
    the samples asked for and their noisy labels; resuming from a checkpoint changes nothing. What was removed is predicted
    by the same epoch's network. The history says all of this; of ten held-out labels, all 0, the first three are right."""
    x, _ = samples
    y = np.where(np.arange(50) < 3, 0, 1)
    dataset = data.Dataset(x_train=x, y_train=y, num_classes=10, pixel_max=16, shift=1)
    y_noisy, held_out, removed, train_index = np.zeros(50, int), np.arange(10), np.arange(10, 13), np.arange(13, 50)
    settings = Settings(architecture="resnet8", epochs=5, iterations=1, batch_size=128, seed=0, bn_momentum=0.9,
                        precision="float32")
    outcomes = []
    for epoch, hits in enumerate([1, 5, 2, 5, 3]):
        outcomes.append(np.full((10, 10), 0.01 * epoch))
        outcomes[-1][:hits, 0], outcomes[-1][hits:, 1] = 1, 1
    trained, checkpoints = [], []
    monkeypatch.setattr(training, "train_epoch", lambda trainer, images, y, index, generator, batch_size, rate, *rest: (
        trained.append((rate, index, y)) or {"loss": 1.0}))
    monkeypatch.setattr(training, "predict", lambda predictor, images, index: outcomes[len(trained) - 1][:len(index)])

    def make_train(resumed):
        return INCV.Train(dataset, y_noisy, settings, console.Progress(quiet=True), resumed,
                          lambda **arrays: checkpoints.append(arrays))

    train = make_train({})
    train(train_index, held_out, removed, keep_best, 1, 1)
    if start:  # the same again from the checkpoint written before epoch `start`
        resumed = {name: np.asarray(value) for name, value in checkpoints[start - 1].items()}
        del trained[start:]
        train = make_train(resumed)
        train(train_index, held_out, removed, keep_best, 1, 1)
    history = train.history
    assert [row["chosen"] for row in history] == [epoch == expected for epoch in range(5)]
    assert [row["learning_rate"] for row in history] == [rate for rate, _, _ in trained]
    assert [row["heldout_accuracy"] for row in history] == [.1, .5, .2, .5, .3]
    assert [row["clean_accuracy"] for row in history] == pytest.approx([1 / 3, 1, 2 / 3, 1, 1])
    assert [row["mislabelled_as_given"] for row in history] == pytest.approx([0, 2 / 7, 0, 2 / 7, 0])
    assert [row["mislabelled_as_true"] for row in history] == pytest.approx([1, 5 / 7, 1, 5 / 7, 1])
    of_both = np.concatenate([outcomes[expected], outcomes[expected][:3]])
    assert (checkpoints[-1]["finished000"] == of_both).all() and "state" not in checkpoints[-1]
    assert [rate for rate, _, _ in trained] == [1e-3, 1e-3, 1e-3, 5e-4, 2.5e-4]  # the drops after 20, 30, 40 of 50: 2, 3, 4
    assert all((index == train_index).all() and y is y_noisy for _, index, y in trained)


@pytest.mark.slow
def test_a_training_with_patience_ends_on_a_plateau_and_resumes_to_the_same_bytes():
    """Each half of iteration 1 and of the last pass follows its own held-out agreement; iteration 2 repeats iteration 1."""
    x, y = load_wine(return_X_y=True)
    dataset = data.Dataset(x_train=((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), num_classes=3)
    settings = Settings(architecture="dense", epochs=90, patience=4, iterations=2, batch_size=32, seed=0, precision="float32")
    y_noisy, half, rates = flipped(y, 3), np.arange(178) % 2 == 0, utils.learning_rates(90, INCV.SCHEDULE)
    checkpoints = []

    def all_trainings(resumed):
        train = INCV.Train(dataset, y_noisy, settings, console.Progress(quiet=True), resumed,
                           lambda **arrays: checkpoints.append(arrays), last_trainings=2)
        found = [train(np.flatnonzero(half == number), np.flatnonzero(half != number), np.empty(0, int), iteration < 3,
                       iteration, number + 1) for iteration in (1, 2, 3) for number in (0, 1)]
        return found, train.history

    found, history = all_trainings({})
    of = {key: rows for key, rows in pd.DataFrame(history).groupby(["iteration", "half"])}
    for (iteration, number), rows in of.items():
        used, agreements = rows["learning_rate"].tolist(), rows["heldout_accuracy"].tolist()
        assert len(used) < 60 and sorted(set(used), reverse=True) == [1e-3, 5e-4, 2.5e-4, 1e-4]
        if iteration == 2:
            assert used == of[1, number]["learning_rate"].tolist()
        else:
            assert used == [utils.next_learning_rate(agreements[:epoch], rates, 4) for epoch in range(len(used))]
            assert utils.next_learning_rate(agreements, rates, 4) is None
        assert rows["chosen"].tolist() == [epoch == (np.argmax(agreements) if iteration < 3 else len(used) - 1)
                                           for epoch in range(len(used))]
        assert rows["training_agreement"].notna().tolist() == [iteration == 1 and epoch == len(used) - 1
                                                               for epoch in range(len(used))]
    written = len(checkpoints)
    for number in (3, len(of[1, 1]) - 2, len(of[1, 1]), written // 2, written - 3):
        again, same = all_trainings({name: np.asarray(value) for name, value in checkpoints[number].items()})
        assert same == history or pd.DataFrame(same).equals(pd.DataFrame(history))
        assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))


# --- the command ------------------------------------------------------------------------------------------------------

def test_the_files_of_a_run_and_their_columns(small_run):
    folder, result = small_run
    assert files_in(folder) == finished_names(SMALL_NAME)
    raw = (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    assert raw.startswith(b"y,y_noisy,select,candidate,eval_ratio\n") and b"\r" not in raw
    table = pd.read_csv(folder / FOLDER / f"{SMALL_NAME}.csv")
    assert len(table) == 200 and set(raw.split(b"\n")[1].split(b",")[2:4]) <= {b"True", b"False"}
    assert not (table["select"] & table["candidate"]).any() and table["eval_ratio"].nunique() == 1
    index = pd.read_csv(folder / FOLDER / f"{SMALL_NAME}_index.csv")["index"]
    assert (data.load("digits").y_train[index] == table["y"]).all() and set(np.bincount(table["y"])) == {20}
    assert (folder / FOLDER / f"{SMALL_NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert result.err == ""


def test_provenance_follows_from_the_csv(small_run):
    folder, result = small_run
    table = pd.read_csv(folder / FOLDER / f"{SMALL_NAME}.csv")
    provenance = json.loads((folder / FOLDER / f"{SMALL_NAME}.json").read_text())
    last = provenance["iterations"][-1]
    lp, lr = noise.precision_and_recall(table["y"].to_numpy(), table["y_noisy"].to_numpy(), table["select"].to_numpy())
    assert (last["LP"], last["LR"]) == (lp, lr)
    assert last["selected_in_all"] == table["select"].sum() and last["left"] == table["candidate"].sum()
    assert last["estimated_noise_ratio"] == table["eval_ratio"][0]
    assert provenance["flipped"] == (table["y"] != table["y_noisy"]).sum() and provenance["samples"] == 200
    assert provenance["settings"]["threads"] == 1 and provenance["settings"]["seed"] == 0
    assert provenance["settings"]["dataset_checksum"] == data.load("digits").checksum
    assert provenance["differs_from_published"]["epochs"] == {"here": 2, "published": 50}
    assert {"tensorflow", "keras", "numpy", "python"} <= set(provenance["versions"])
    assert provenance["wall_seconds"] > 0 and provenance["device"]


def test_progress_is_a_line_per_epoch_where_output_is_no_terminal(small_run):
    _, result = small_run
    epochs = [line for line in result.out.splitlines() if "held-out acc" in line]
    assert len(epochs) == 2 * 2 * 2 and "iter 2/2 half 2/2 epoch 2/2" in epochs[-1] and "left" in epochs[-1]
    assert sum(" selected, " in line for line in result.out.splitlines()) == 2


def test_a_finished_run_is_not_repeated(small_run):
    folder, _ = small_run
    before = {path: path.stat().st_mtime_ns for path in (folder / FOLDER).iterdir()}
    result = run(SMALL, folder, fresh=True)
    assert result.code == 0 and "finished already" in result.out and SMALL_NAME in result.out and result.seconds < 2
    assert before == {path: path.stat().st_mtime_ns for path in (folder / FOLDER).iterdir()}


def test_the_same_run_again_gives_the_same_bytes(small_run):
    folder, _ = small_run
    first = (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    stamp = (folder / FOLDER / f"{SMALL_NAME}.csv").stat().st_mtime_ns
    result = run([*SMALL, "--overwrite", "--quiet"], folder)
    assert result.code == 0 and "held-out" not in result.out
    assert (folder / FOLDER / f"{SMALL_NAME}.csv").stat().st_mtime_ns > stamp
    assert (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes() == first


@pytest.mark.slow
def test_other_settings_have_other_files(small_run):
    folder, _ = small_run
    before = {name: (folder / FOLDER / name).read_bytes() for name in files_in(folder)}
    assert run([*SMALL, "--architecture", "resnet8", "--batch_size", "64", "--precision", "bfloat16", "--quiet"],
               folder).code == 0
    assert {name: (folder / FOLDER / name).read_bytes() for name in before} == before
    new = set(files_in(folder)) - set(before)
    assert [name.removesuffix(".json") for name in new if name.endswith(".json")] == [
        "INCV_seed0_resnet8_epochs2_iterations2_batch_size64_subset200_bfloat16"]


@pytest.mark.slow
def test_of_asym_nothing_is_removed_and_a_subset_of_all_is_none(tmp_path):
    # A subset of everything is no subset: same name, no index file. Every ratio is written as Python prints the float.
    result = run(["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 1500, "--epochs", 1, "--iterations", 1,
                  "--noise_pattern", "asym", "--noise_ratio", ".40"], tmp_path)
    assert result.code == 0, result.err
    folder = tmp_path / "results" / "digits" / "asym" / "0.4"
    assert sorted(p.name for p in folder.iterdir()) == [
        f"INCV_seed0_networks_small_epochs1_iterations1{ending}" for ending in INCV_FILES if ending != "_index.csv"]
    table = pd.read_csv(folder / "INCV_seed0_networks_small_epochs1_iterations1.csv")
    flipped = table["y"] != table["y_noisy"]
    assert len(table) == 1500 and ((table["y"] + 1) % 10 == table["y_noisy"])[flipped].all()
    assert (table["select"] ^ table["candidate"]).all()  # nothing is removed


def test_real_cifar10_runs(cifar10, tmp_path):
    result = run(["--subset", 200, "--epochs", 1, "--iterations", 1, "--data_dir", cifar10], tmp_path)
    assert result.code == 0, result.err
    table = pd.read_csv(tmp_path / "results/cifar10/sym/0.5/INCV_seed0_epochs1_iterations1_subset200.csv")
    assert np.bincount(table["y"]).tolist() == [20] * 10


@pytest.mark.slow
def test_a_users_keras_settings_change_nothing(small_run, tmp_path):
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first", "floatx": "float16", "backend": "jax"}')
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run([sys.executable, str(PROJECT / "INCV.py"), *SMALL], cwd=tmp_path, capture_output=True, text=True,
                          env=environment | {"KERAS_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    expected = (small_run[0] / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    assert (tmp_path / FOLDER / f"{SMALL_NAME}.csv").read_bytes() == expected


# --- custom datasets --------------------------------------------------------------------------------------------------


def test_true_labels_of_a_column_are_scored_and_not_trained_on(tmp_path):
    """Known for some rows: they are scored, by iteration, and are neither features nor seen by training."""
    table, kinds = mixed_table(200)
    given = np.array(["cat", "dog", "eel"])[flipped(np.unique(kinds, return_inverse=True)[1], 3)]
    known = np.arange(200) % 4 != 0
    table.assign(kind=given, truth=np.where(known, kinds, "")).to_csv(tmp_path / "t.csv", index=False)
    table.assign(kind=given).to_csv(tmp_path / "without.csv", index=False)
    options = ["--label", "kind", "--epochs", 6, "--iterations", 2]
    result = run(["--dataset", "t.csv", *options, "--true_label", "truth"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    wrong = (given != kinds) & known
    assert f"{wrong.sum()} of the 150 labels with known truth wrong" in result.out
    base = tmp_path / "results/t/given/INCV_seed0_epochs6_true_label_truth.json"
    provenance = json.loads(base.read_text())
    assert (provenance["flipped"], provenance["true_labels_known"]) == (wrong.sum(), 150)
    selection = pd.read_csv(base.with_suffix(".csv"), keep_default_na=False)
    assert selection["y"].tolist() == np.where(known, kinds, "").tolist()
    select, clean = (selection["select"].astype(str) == "True").to_numpy(), known & (given == kinds)
    last = provenance["iterations"][-1]
    assert last["LP"] == (select & clean).sum() / (select & known).sum()
    assert last["LR"] == (select & clean).sum() / clean.sum()
    robust = run(["--dataset", "t.csv", "--label", "kind", "--incv_epochs", 6, "--iterations", 2, "--epochs", 2, "--quiet",
                  "--true_label", "truth"], tmp_path, "INCV_main.py")
    assert robust.code == 0 and robust.err == "" and "reusing" in robust.out, robust.err
    [file] = (tmp_path / "results/t/given").glob("INCV_main_seed0_*true_label_truth.json")
    trained = json.loads(file.read_text())
    assert (trained["flipped"], trained["true_labels_known"]) == (wrong.sum(), 150)
    assert pd.read_csv(file.with_suffix(".csv"))["clean_1"].between(0.5, 1).all()  # of those known; three classes, .3 wrong
    alike = run(["--dataset", "without.csv", *options, "--quiet"], tmp_path)
    assert alike.code == 0, alike.err
    other = pd.read_csv(tmp_path / "results/without/given/INCV_seed0_epochs6.csv")
    assert (other.drop(columns="y") == pd.read_csv(base.with_suffix(".csv")).drop(columns="y")).all(axis=None)


def test_samples_that_are_all_the_same_are_one_line(tmp_path):
    np.savez(tmp_path / "same.npz", x=X6, y=Y6)
    result = run(["--dataset", "same.npz", *ONE_EPOCH], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "give samples that differ" in result.err, result.err


def test_what_is_left_out_is_neither_listed_nor_exported(tmp_path, numbers):
    table = numbers.assign(v0=numbers["kind"].map({"cat": 0, "dog": 5, "eel": 9}) + numbers["v0"])
    table.loc[[2, 30], "kind"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    result = run(["--dataset", "t.csv", "--label", "kind", "--iterations", 1, "--epochs", 60, "--quiet", "--export",
                  "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "" and "warning: " in result.out
    assert "2 of 60 samples have no label" in result.out
    every = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs60_iterations1_out_of_fold.csv")
    assert len(every) == 58 and not {2, 30} & set(every["sample"])
    kept, lines = pd.read_csv(tmp_path / "kept.csv"), table.loc[every["sample"][every["status"] == "selected"]]
    assert kept["v1"].tolist() == lines["v1"].tolist() and len(kept) > 20
    page = (tmp_path / "results/t/given/INCV_seed0_epochs60_iterations1_report.html").read_text()
    assert "2 of 60 samples have no label" in page
    # The file is corrected and run again.
    table.assign(kind=table["kind"].fillna("cat")).to_csv(tmp_path / "t.csv", index=False)
    again = run(["--dataset", "t.csv", "--label", "kind", "--iterations", 1, "--epochs", 60, "--quiet"], tmp_path)
    assert again.code == 2 and again.err.count("\n") == 1, again.err
    assert "58 samples then, 60 now" in again.err and "--overwrite" in again.err


def test_a_true_label_of_a_class_that_is_not_trained_on_counts_as_wrong(pictures):
    folder, table = pictures
    kind, truth = np.array(["a", "b", "c"])[np.arange(N) % 3], np.array(["a", "b", "c"])[np.arange(N) // 2 % 3]
    truth[:2] = ""
    list_written(table.assign(kind=kind, truth=truth), folder / "list.csv")
    arguments = ["--dataset", "list.csv", "--label", "kind", "--images", "all", "--classes", 2, "--true_label", "truth"]
    result = run([*arguments, "--architecture", f"{PROJECT / 'tests/networks.py'}:small", "--epochs", 1, "--iterations", 1,
                  "--quiet"], folder)
    assert result.code == 0 and result.err.count("Traceback") == 0, result.err
    [file] = (folder / "results/list/given").glob("INCV_seed0_*.json")
    used, found = kind != "c", pd.read_csv(file.with_suffix(".csv"), keep_default_na=False)
    assert found["y"].tolist() == np.where(truth == "c", "another class", truth)[used].tolist()
    provenance = json.loads(file.read_text())
    assert provenance["flipped"] == ((truth != kind) & (truth != ""))[used].sum()
    assert provenance["true_labels_known"] == (truth != "")[used].sum()
    list_written(table.assign(kind=kind, truth=np.where(truth == "c", "d", truth)), folder / "list.csv")
    refused(["'d' are not classes of the given labels"], folder / "list.csv", "kind", images=str(folder / "all"), classes=2,
            true_label="truth")


@pytest.mark.slow
def test_names_that_are_not_utf8_stop_no_run_at_its_end(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'xy'[n % 2]}" for n, (a, b) in enumerate(rng.normal(size=(60, 2)))]
    lines[3] = lines[3][:-1]  # a missing label: a warning, which names the file
    file = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    with open(file, "w") as out:
        out.write("a,b,kind\n" + "\n".join(lines) + "\n")
    result = run(["--dataset", os.fsdecode(b"caf\xe9.csv"), "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet",
                  "--no-label_issues"], tmp_path)
    assert result.code == 0 and result.err == "" and "warning" in result.out, result.err
    assert list(tmp_path.rglob("*_report.html")) and list(tmp_path.rglob("INCV_seed0*.json"))


def test_few_epochs_are_warned_of(tmp_path):
    x, y = load_wine(return_X_y=True)
    np.savez(tmp_path / "wine.npz", x=x, y=y)
    few = run(["--dataset", "wine.npz", "--epochs", "2", "--iterations", "1"], tmp_path)
    assert "warning: 2 epochs instead of 134, the default for these data: networks that have not learned enough" in few.out
    history = pd.read_csv(next(tmp_path.glob("results/wine/given/*_history.csv")))
    little = run(["--dataset", "wine.npz", "--patience", "2", "--iterations", "1"], tmp_path)
    assert "warning: a patience of 2 epochs, less than a twelfth of the epochs: networks" in little.out, little.err
    assert "at most 134 epochs" in little.out
    known = history["training_agreement"].notna()
    assert history.loc[known, ["iteration", "epoch"]].to_numpy().tolist() == [[1, 2], [1, 2]]
    assert history.loc[known, "training_agreement"].between(0, 1).all()
