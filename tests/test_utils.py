"""Draws, halves, the schedule of learning rates, sizes of batches, and a backend that cannot be started."""
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import FOLDER, PROJECT, SMALL, run

from incv import INCV, INCV_main, Verify_Theory, utils


def test_the_first_line_of_an_error_has_what_its_colon_announces():
    assert utils.first_line(ValueError("names must differ, got:\n- 'a'\n- 'b'")) == "ValueError: names must differ, got: - 'a'"
    assert utils.first_line(ValueError("one\ntwo")) == "ValueError: one" and utils.first_line(ValueError()) == "ValueError:"


def test_random_draws_are_functions_of_their_stage():
    draws = {stage: utils.rng(*stage).random() for stage in
             [(0, "train", 1, 1, 0), (0, "train", 1, 2, 0), (0, "train", 1, 1, 1), (1, "train", 1, 1, 0), (0, "split", 1)]}
    assert len(set(draws.values())) == len(draws)
    assert all(utils.rng(*stage).random() == value for stage, value in draws.items())


def test_halves_are_an_ascending_partition():
    first, second = utils.halves(np.arange(9), utils.rng(0, "halves"))
    assert len(first) == 4 and sorted([*first, *second]) == list(range(9))
    assert (np.diff(first) > 0).all() and (np.diff(second) > 0).all()


def test_halves_are_even_random_and_seeded():
    candidate = np.ones(11, bool)
    candidate[4] = False
    first, second = utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 1))
    assert len(first) == len(second) == 5 and sorted([*first, *second]) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert (first == utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 1))[0]).all()
    assert (first != utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 2))[0]).any()


@pytest.mark.parametrize("script, epochs, counts", [
    (INCV, 50, (21, 10, 10, 9)), (Verify_Theory, 200, (81, 40, 40, 20, 19)), (INCV_main, 200, (80, 40, 40, 20, 20)),
    (INCV, 20, (9, 4, 4, 3)),  # the drops come after epochs 8, 12 and 16
    (INCV_main, 30, (12, 6, 6, 3, 3)), (INCV_main, 100, (40, 20, 20, 10, 10)), (INCV_main, 2, (1, 0, 1, 0, 0))])
def test_learning_rates_hold_for_as_many_epochs_as_published(script, epochs, counts):
    """INCV and the theory lower the learning rate after an epoch, robust training from an epoch on (epochs from 0)."""
    rates = [utils.learning_rate(epoch, epochs, **script.SCHEDULE) for epoch in range(epochs)]
    values = {4: (1e-3, 5e-4, 2.5e-4, 1e-4), 5: (1e-3, 1e-4, 1e-5, 1e-6, 5e-7)}[len(counts)]
    assert rates == [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
    assert utils.scaled_epoch(20, 1, 50) == 1


def test_the_number_of_epochs_falls_with_the_number_of_steps():
    small = utils.enough_epochs(steps=400, epochs=12)
    assert [small(n, 32) for n in (100, 400, 2000, 10000)] == [200, 58, 13, 12]


def test_the_size_of_batches_falls_with_the_size_of_images():
    assert [utils.batch_for((side, side, 3)) for side in (28, 32, 33, 45, 64, 96, 224, 1024)] == [
        128, 128, 64, 64, 32, 16, 16, 16]


def test_the_momentum_of_batch_normalisation_is_lower_for_small_sets():
    assert [utils.momentum_for(n) for n in (1500, 5000, 10000, 50000)] == [0.9, 0.9, 0.99, 0.99]


# --- the backend ------------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_gpu_that_the_backend_cannot_use_is_one_line(tmp_path):
    """The driver lists a GPU; TensorFlow does not find it (an nvidia-smi of our own stands in for the driver's)."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho Some GPU\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    result = run([*SMALL, "--gpu_id", 0], tmp_path, environment={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                                                                 "CUDA_VISIBLE_DEVICES": "-1"})
    assert result.code == 2 and result.err.count("\n") == 1 and "--gpu_id 0" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize("name, wrong", [("KERAS_BACKEND", "torch"), ("KERAS_BACKEND", "nonsense"),
                                         ("TF_NUM_INTEROP_THREADS", "two"), ("TF_NUM_INTEROP_THREADS", "0"),
                                         ("TF_NUM_INTEROP_THREADS", "9999999999")])
def test_an_unknown_backend_or_number_of_operations_is_one_line(tmp_path, name, wrong):
    result = run(["--dataset", "digits"], tmp_path, environment={name: wrong})
    assert result.code == 2 and result.err.count("\n") == 1 and f"{name}={wrong}" in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_number_of_operations_at_a_time_follows_threads_and_the_environment():
    program = ("import os, tensorflow as tf\nfrom incv import utils\n"
               "for threads, operations, in_parallel in ((1, '', True), (2, '', True), (1, '3', True), (2, '3', False)):\n"
               "    os.environ['TF_NUM_INTEROP_THREADS'] = operations\n"
               "    utils._make_tensorflow_deterministic(threads, in_parallel)\n"
               "    print(tf.config.threading.get_inter_op_parallelism_threads())")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2", "3", "1"], done.stderr  # a custom network: one at a time


@pytest.mark.slow
def test_two_operations_at_a_time_end_with_the_bytes_of_one(tmp_path):
    """TF_NUM_INTEROP_THREADS saves nearly half of the time of robust training (docs/speed.md) and is no setting of a run."""
    arguments = ["--dataset", "digits", "--subset", 200, "--epochs", 3, "--incv_epochs", 2, "--iterations", 1, "--threads", 1]
    found = []
    for number in "12":
        (tmp_path / number).mkdir()
        result = run(arguments, tmp_path / number, "INCV_main.py", environment={"TF_NUM_INTEROP_THREADS": number})
        assert result.code == 0, result.err
        found.append({path.name: path.read_bytes() for path in (tmp_path / number / FOLDER).glob("*.csv")})
    assert len(found[0]) > 5 and found[0] == found[1]


RATES = [4.0] * 6 + [2.0] * 3 + [1.0] * 3


def trained(agreements, patience):
    """Return the learning rates of a training whose epochs have these held-out agreements (the last one for all further)."""
    used = []
    while (rate := utils.next_learning_rate([agreements[min(e, len(agreements) - 1)] for e in range(len(used))], RATES,
                                            patience)) is not None:
        used.append(rate)
    return used


def test_a_plateau_of_the_heldout_agreement_brings_the_next_learning_rate():
    assert trained([0.5], None) == RATES
    # 0.6 in epoch 2, and no rise in four epochs; then two epochs of each further learning rate
    assert trained([0.5, 0.6, 0.6, 0.4], 4) == [4.0] * 6 + [2.0] * 2 + [1.0] * 2
    assert trained([0.5, 0.6, 0.6, 0.4], 3) == [4.0] * 5 + [2.0] * 2 + [1.0] * 2
    assert trained([0.5, 0.6, 0.6, 0.7], 2) == [4.0] * 6 + [2.0] + [1.0]  # the rise in epoch 4 counts from there
    # a rise in a later stage prolongs it, at most as planned
    assert trained([0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9], 2) == [4.0] * 3 + [2.0] * 5 + [1.0]
    assert trained([epoch / 20 for epoch in range(12)], 2) == RATES


def test_the_epochs_left_are_those_without_a_further_rise():
    assert utils.epochs_left([], RATES) == 12 and utils.epochs_left([0.5] * 3, RATES, None) == 9
    for agreements in ([], [0.5], [0.5, 0.6, 0.6], [0.5, 0.6, 0.6, 0.6], [0.5] * 5):
        flat = agreements + [-1.0] * 12
        assert utils.epochs_left(agreements, RATES, 3) == len(trained(flat, 3)) - len(agreements)
    assert 8 < utils.expected_epochs(RATES, 3) < 12


def test_patience_grows_with_the_epochs():
    assert [utils.patience_for(epochs) for epochs in (1, 12, 50, 67, 500)] == [3, 3, 5, 6, 42]


@pytest.mark.parametrize("content", ['[1]', '{"floatx": 5}', '{"epsilon": []}', None])
def test_settings_of_keras_that_are_wrong_are_one_line(tmp_path, content):
    """None: a pipe, which Keras would wait for. Settings of tqdm do not matter."""
    if content is None:
        os.mkfifo(tmp_path / "keras.json")
    else:
        (tmp_path / "keras.json").write_text(content)
    code = "from incv import utils\ntry:\n    utils.start_backend(1)\nexcept utils.UserError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {
        "KERAS_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT), "TQDM_MININTERVAL": "x"})
    assert done.stdout.count("\n") == 1 and "keras.json" in done.stdout and done.stderr == "", done


def test_a_process_that_was_forked_after_a_backend_was_imported_says_so():
    """Without it, the process would wait for ever for threads that it does not have."""
    code = ("import os, sys, types; from incv import utils; utils.check_fork()\n"
            "sys.modules['tensorflow'] = types.ModuleType('tensorflow')\n"
            "child = os.fork()\n"
            "try:\n    utils.check_fork()\nexcept utils.UserError as error:\n    print(error, flush=True); os._exit(0)\n"
            "os.waitpid(child, 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    assert "forked from one that had imported TensorFlow or JAX" in done.stdout


@pytest.mark.parametrize("script", ["INCV.py", "INCV_main.py", "Verify_Theory.py"])
def test_scripts_start_where_python_does_not_look_into_their_folder(script, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, PROJECT / script, "--version"], capture_output=True, text=True, cwd=tmp_path,
                          env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
