"""The command: its files against what it says, its errors, and what it leaves behind."""
import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pandas as pd
import pytest
from conftest import (
    FOLDER,
    INCV_FILES,
    LONG,
    LONG_NAME,
    PROJECT,
    SMALL,
    SMALL_NAME,
    SMALL_NETWORK,
    run,
    run_in_a_second,
    start,
    wait_for_epoch,
)

from incv import data, noise
from incv.runner.settings import Settings


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run: (its folder, what the command printed)."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(SMALL, folder)
    assert result.code == 0, result.err
    return folder, result


def names(folder):
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def finished_names(name):
    return [name + ending for ending in INCV_FILES]


# --- files ------------------------------------------------------------------------------------------------------------

def test_files_and_columns(finished):
    folder, result = finished
    assert names(folder) == finished_names(SMALL_NAME)
    raw = (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    assert raw.startswith(b"y,y_noisy,select,candidate,eval_ratio\n") and b"\r" not in raw
    table = pd.read_csv(folder / FOLDER / f"{SMALL_NAME}.csv")
    assert len(table) == 200 and set(raw.split(b"\n")[1].split(b",")[2:4]) <= {b"True", b"False"}
    assert not (table["select"] & table["candidate"]).any() and table["eval_ratio"].nunique() == 1
    index = pd.read_csv(folder / FOLDER / f"{SMALL_NAME}_index.csv")["index"]
    assert (data.load("digits").y_train[index] == table["y"]).all() and set(np.bincount(table["y"])) == {20}
    assert (folder / FOLDER / f"{SMALL_NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert result.err == ""


def test_provenance_follows_from_the_csv(finished):
    folder, result = finished
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


def test_progress_is_a_line_per_epoch_where_output_is_no_terminal(finished):
    _, result = finished
    epochs = [line for line in result.out.splitlines() if "held-out acc" in line]
    assert len(epochs) == 2 * 2 * 2 and "iter 2/2 half 2/2 epoch 2/2" in epochs[-1] and "left" in epochs[-1]
    assert sum(" selected, " in line for line in result.out.splitlines()) == 2


def test_a_finished_run_is_not_repeated(finished):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / FOLDER).iterdir()}
    result = run(SMALL, folder, fresh=True)
    assert result.code == 0 and "finished already" in result.out and SMALL_NAME in result.out and result.seconds < 2
    assert before == {path: path.stat().st_mtime_ns for path in (folder / FOLDER).iterdir()}


def test_the_same_run_again_gives_the_same_bytes(finished):
    folder, _ = finished
    first = (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    stamp = (folder / FOLDER / f"{SMALL_NAME}.csv").stat().st_mtime_ns
    result = run([*SMALL, "--overwrite", "--quiet"], folder)
    assert result.code == 0 and "held-out" not in result.out
    assert (folder / FOLDER / f"{SMALL_NAME}.csv").stat().st_mtime_ns > stamp
    assert (folder / FOLDER / f"{SMALL_NAME}.csv").read_bytes() == first


@pytest.mark.slow
def test_other_settings_have_other_files(finished):
    folder, _ = finished
    before = {name: (folder / FOLDER / name).read_bytes() for name in names(folder)}
    assert run([*SMALL, "--architecture", "resnet8", "--batch_size", "64", "--precision", "bfloat16", "--quiet"],
               folder).code == 0
    assert {name: (folder / FOLDER / name).read_bytes() for name in before} == before
    new = set(names(folder)) - set(before)
    assert [name.removesuffix(".json") for name in new if name.endswith(".json")] == [
        "INCV_seed0_resnet8_epochs2_iterations2_batch_size64_subset200_bfloat16"]


@pytest.mark.slow
def test_asym_and_a_whole_subset(tmp_path):
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


# --- bad input --------------------------------------------------------------------------------------------------------

BAD = {
    "ratio above 1": ("--noise_ratio 1.2", "1.2"), "ratio below 0": ("--noise_ratio -0.1", "-0.1"),
    "ratio is no number": ("--noise_ratio half", "half"), "ratio is nan": ("--noise_ratio nan", "nan"),
    "pattern": ("--noise_pattern pair", "pair"), "dataset": ("--dataset mnist", "mnist"),
    "subset too large": ("--dataset digits --subset 1501", "1501"), "subset too small": ("--subset 19", "19"),
    "no epochs": ("--epochs 0", "epochs"), "no iterations": ("--iterations 0", "iterations"),
    "no batch": ("--batch_size 0", "batch_size"), "seed": ("--seed -1", "seed"), "threads": ("--threads 0", "threads"),
    "architecture": ("--architecture vgg", "vgg"), "network": ("--architecture nowhere.py:f", "nowhere.py"),
    "matrix": ("--noise_pattern nowhere.npy", "nowhere.npy"), "learning rate": ("--learning_rate 0", "learning_rate"),
    "precision": ("--precision int8", "int8"),
    "option": ("--epoch 3", "--epoch"), "gpu": ("--dataset digits --gpu_id 99", "99"),
    "no data folder": ("--data_dir nowhere", "nowhere"),
    "no data folder for digits": ("--dataset digits --data_dir nowhere", "nowhere"),
    "no data in the folder": ("--data_dir .", "cifar-10"),
    "two lines": ("--dataset\tdigits\ta\nb", "a b"),
    "results in a file": ("--dataset digits --results_dir file/results", "file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_within_a_second(case, tmp_path):
    arguments, culprit = BAD[case]
    (tmp_path / "file").touch()
    result = run_in_a_second(arguments.split("\t") if "\t" in arguments else arguments.split(), tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and culprit in result.err and result.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and result.seconds < 1


def test_a_gpu_that_the_backend_cannot_use_is_one_line(tmp_path):
    """The driver lists a GPU; TensorFlow does not find it (an nvidia-smi of our own stands in for the driver's)."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho Some GPU\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    result = run([*SMALL, "--gpu_id", 0], tmp_path, environment={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                                                                 "CUDA_VISIBLE_DEVICES": "-1"})
    assert result.code == 2 and result.err.count("\n") == 1 and "--gpu_id 0" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.slow
def test_a_users_keras_settings_change_nothing(finished, tmp_path):
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first", "floatx": "float16", "backend": "jax"}')
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run([sys.executable, str(PROJECT / "INCV.py"), *SMALL], cwd=tmp_path, capture_output=True, text=True,
                          env=environment | {"KERAS_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    expected = (finished[0] / FOLDER / f"{SMALL_NAME}.csv").read_bytes()
    assert (tmp_path / FOLDER / f"{SMALL_NAME}.csv").read_bytes() == expected


@pytest.mark.parametrize("name, wrong", [("KERAS_BACKEND", "torch"), ("KERAS_BACKEND", "nonsense"),
                                         ("TF_NUM_INTEROP_THREADS", "two"), ("TF_NUM_INTEROP_THREADS", "0"),
                                         ("TF_NUM_INTEROP_THREADS", "9999999999")])
def test_an_unknown_backend_or_number_of_operations_is_one_line(tmp_path, name, wrong):
    result = run(["--dataset", "digits"], tmp_path, environment={name: wrong})
    assert result.code == 2 and result.err.count("\n") == 1 and f"{name}={wrong}" in result.err
    assert not list(tmp_path.iterdir())


def test_help_and_version_do_not_wait_for_a_backend(tmp_path):
    for option, said in (("--help", "--noise_ratio"), ("--version", "0.1.0")):
        result = run_in_a_second([option], tmp_path)
        assert result.code == 0 and said in result.out and result.seconds < 1


# --- interruptions that are not kills (those: test_resume.py) ---------------------------------------------------------

@pytest.mark.slow
def test_ctrl_c_leaves_one_line_and_a_state_to_go_on_from(unbroken, tmp_path):
    process = start(LONG, tmp_path)
    wait_for_epoch(process, 1)
    # Meanwhile a second run on the same files is turned away.
    second = run(LONG, tmp_path)
    assert second.code == 2 and second.err.count("\n") == 1 and "another run" in second.err
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and err.count("\n") == 1 and "interrupted" in err
    # The newest state may just have been on its way into its place.
    assert set(names(tmp_path)) <= {f"{LONG_NAME}.checkpoint{ending}" for ending in ("", ".previous", ".new")}
    resumed = run(LONG, tmp_path)
    assert resumed.code == 0 and "resuming at iteration" in resumed.out
    assert (tmp_path / FOLDER / f"{LONG_NAME}.csv").read_bytes() == unbroken
    assert names(tmp_path) == finished_names(LONG_NAME)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_the_state(tmp_path):
    def no_file_above_30_kilobytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    process = start(LONG, tmp_path)
    wait_for_epoch(process, 1)
    process.kill()
    process.communicate()
    before = {name: (tmp_path / FOLDER / name).read_bytes() for name in names(tmp_path) if "checkpoint" in name}
    full = run(LONG, tmp_path, preexec_fn=no_file_above_30_kilobytes)
    assert full.code == 2 and full.err.count("\n") == 1 and "too large" in full.err and "checkpoint" in full.err
    assert {name: (tmp_path / FOLDER / name).read_bytes() for name in before} == before
    assert not any(name.endswith((".part", ".lock")) for name in names(tmp_path))


@pytest.mark.slow
def test_damaged_and_foreign_checkpoints_are_said(unbroken, tmp_path):
    process = start(LONG, tmp_path)
    wait_for_epoch(process, 3)
    process.kill()
    process.communicate()
    newest = tmp_path / FOLDER / f"{LONG_NAME}.checkpoint"
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    # One of two is damaged: the run resumes from the other, which is one epoch older, and ends with the same bytes.
    result = run(LONG, tmp_path)
    first = result.out.splitlines()
    assert result.code == 0 and "is damaged: resuming from the one before" in first[0] and "resuming at" in first[2]
    assert (tmp_path / FOLDER / f"{LONG_NAME}.csv").read_bytes() == unbroken

    process = start([*SMALL, "--seed", 1], tmp_path)
    wait_for_epoch(process, 1)
    process.kill()
    process.communicate()
    # Another thread count would not give the same bytes: nothing is lost unless the user says so.
    checkpoint = next((tmp_path / FOLDER).glob("*.checkpoint")).read_bytes()
    other = run([*SMALL, "--seed", 1, "--threads", 2], tmp_path)
    assert other.code == 2 and other.err.count("\n") == 1 and "other settings (threads 1, not 2): --overwrite" in other.err
    assert next((tmp_path / FOLDER).glob("*.checkpoint")).read_bytes() == checkpoint
    again = run([*SMALL, "--seed", 1, "--threads", 2, "--overwrite"], tmp_path)
    assert again.code == 0 and "resuming" not in again.out
    assert names(tmp_path) == sorted(finished_names(LONG_NAME) + finished_names(SMALL_NAME.replace("seed0", "seed1")))


def test_a_kill_while_a_checkpoint_is_put_into_place_loses_nothing(tmp_path):
    """Each state of the files that a kill can leave is gone on from, with a damaged one beside it."""
    from incv.runner import checkpoint

    def saved(number):
        checkpoint.save_checkpoint(tmp_path / "run", Settings(seed=0), epoch=number)

    def found():
        return int(checkpoint.load_checkpoint(tmp_path / "run", Settings(seed=0))[0]["epoch"])

    new, current, previous = (tmp_path / f"run.checkpoint{ending}" for ending in (".new", "", ".previous"))
    saved(1)
    saved(2)
    assert found() == 2
    current.rename(new)  # as before the second replacement
    assert found() == 2
    previous.write_bytes(b"damaged")
    assert found() == 2
    saved(3)
    assert found() == 3 and not new.exists()


def test_a_result_of_other_settings_under_the_same_name_is_left_alone(finished, tmp_path):
    """As after another version, whose defaults were others."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    file = tmp_path / FOLDER / f"{SMALL_NAME}.json"
    file.write_text(file.read_text().replace('"batch_size": 32', '"batch_size": 16'))
    before = {name: (tmp_path / FOLDER / name).read_bytes() for name in names(tmp_path)}
    result = run(SMALL, tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "batch_size 16, not 32" in result.err
    assert {name: (tmp_path / FOLDER / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("content", ["", "[]", "null", '{"settings": null}', '{"settings": "x"}'])
def test_a_damaged_json_is_no_finished_run(tmp_path, content):
    from incv.runner import files

    (tmp_path / "run.csv").touch()
    (tmp_path / "run.json").write_text(content)
    assert not files.is_finished(tmp_path / "run", Settings(seed=0))


def test_closed_output_gives_no_traceback(finished):
    closed = subprocess.run(f"'{sys.executable}' '{PROJECT / 'INCV.py'}' {' '.join(SMALL)} >&-", cwd=finished[0],
                            shell=True, text=True, capture_output=True)
    assert closed.returncode == 0 and closed.stderr == ""


def test_what_a_kill_at_the_very_end_leaves_is_removed(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    for ending in (".checkpoint", ".checkpoint.previous", ".lock"):
        (tmp_path / FOLDER / f"{SMALL_NAME}{ending}").touch()
    assert "finished already" in run(SMALL, tmp_path).out
    assert names(tmp_path) == names(finished[0])


def test_the_progress_line_fits_a_terminal(tmp_path):
    """On a terminal of 80 columns the line is redrawn in place, says the time left, and is left standing by Ctrl-C."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, str(PROJECT / "INCV.py"), *SMALL, "--epochs", "200"], cwd=tmp_path,
                               stdout=slave, stderr=subprocess.PIPE, text=True,
                               env={k: v for k, v in os.environ.items() if k != "COLUMNS"})
    os.close(slave)
    seen = ""
    while seen.count("\r") < 8:
        seen += os.read(master, 10000).decode()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    os.close(master)
    drawn = [line for line in seen.split("\r") if " left, iter " in line][:-1]
    assert drawn and all("%|" in line and len(line) < 80 and "\n" not in line for line in drawn)
    assert process.returncode == 130 and err.count("\n") == 1


@pytest.mark.slow
def test_nobody_reads_on(tmp_path):
    done = subprocess.run(f"'{sys.executable}' '{PROJECT / 'INCV.py'}' {' '.join(SMALL)} | head -n 1", cwd=tmp_path,
                          shell=True, text=True, capture_output=True)
    assert done.stdout.startswith("INCV on 200 samples") and done.stderr == ""


def test_every_flipped_byte_of_a_checkpoint_is_noticed(tmp_path):
    from incv.runner import checkpoint
    from incv.runner.settings import Settings

    path, settings = tmp_path / "run", Settings.from_json({"seed": 0})
    checkpoint.save_checkpoint(path, settings, state=np.arange(50, dtype=np.float32))
    file = tmp_path / "run.checkpoint"
    whole = file.read_bytes()
    for position in [*range(0, len(whole), 13), len(whole) - 1]:
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1:])
        arrays, complaint = checkpoint.load_checkpoint(path, settings)
        assert arrays == {} and "damaged" in complaint
    for length in (0, 1, 31, 32, 33, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert "damaged" in checkpoint.load_checkpoint(path, settings)[1]
    file.write_bytes(whole)
    assert (checkpoint.load_checkpoint(path, settings)[0]["state"] == np.arange(50)).all()
