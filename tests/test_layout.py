"""The whole project: which room imports which, what tests and pages name, and that `incv` is this project's."""
import ast
import graphlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv

import pytest
from conftest import PROJECT, SMALL_NETWORK, run

# A room imports from itself and from those before it; nothing imports upward.
ROOMS = ["helpers", "custom_data", "runner", "reporting", "checking", "INCV", "INCV_main", "label_issues", "benchmarks"]
SCRIPTS = {"INCV": "INCV", "INCV_main": "INCV_main", "Verify_Theory": "reporting", "label_issues": "label_issues"}
BESIDE = {("INCV_main", "label_issues"), ("label_issues", "INCV_main")}  # neither imports the other


def module_of(path):
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts)


MODULES = {module_of(path): path for folder in (".", "custom_data", "runner", "reporting", "checking", "benchmarks")
           for path in (PROJECT / folder).glob("*.py") if path.name != "__init__.py"}


def imported(path):
    """The modules of the project that a file imports, at its top or later: "noise", "runner.files" ..."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
            assert not any(name in MODULES for name in names), f"{path}: import {names}: from incv import it"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "incv":
            place = node.module.partition(".")[2]
            found |= {name for each in node.names for name in (place, f"{place}.{each.name}".strip(".")) if name in MODULES}
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in MODULES, f"{path}: from {node.module} import: from incv.{node.module}"
    return found


def room_of(module):
    folder, _, rest = module.partition(".")
    return folder if rest else SCRIPTS.get(module, "helpers")


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_points_up(module):
    mine = room_of(module)
    for other in imported(MODULES[module]):
        assert ROOMS.index(room_of(other)) <= ROOMS.index(mine), f"{module} imports {other}, which stands above it"
        assert (mine, room_of(other)) not in BESIDE, f"{module} imports {other}, which stands beside it"


def test_no_imports_in_a_circle():
    order = graphlib.TopologicalSorter({module: imported(path) - {module} for module, path in MODULES.items()})
    assert len(list(order.static_order())) == len(MODULES)


def test_the_root_shows_the_paper():
    assert len([path for path in PROJECT.glob("*.py") if path.name != "__init__.py"]) <= 14


# Tests of the project as a whole, of what is committed and of what a machine allows.
OF_ALL = {"test_layout", "test_evidence", "test_speed", "test_memory"}


@pytest.mark.parametrize("file", sorted((PROJECT / "tests").glob("test_*.py")), ids=lambda file: file.stem)
def test_every_test_file_is_named_after_a_module(file):
    named = {f"test_{module.replace('.', '_')}" for module in MODULES}
    assert file.stem in named | OF_ALL, f"{file.name}: name it test_MODULE.py or test_FOLDER_MODULE.py after what it tests"


# --- one name for all of it -------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from incv import NoisyLabelClassifier, find_label_issues
from incv.INCV import incv
generator = np.random.default_rng(0)
y = np.arange(120) % 2
x = generator.normal(size=(120, 4)) + 3 * y[:, None]
given = np.where(np.arange(120) < 6, 1 - y, y)
def network():
    import keras
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
assert find_label_issues(x, given, LogisticRegression())["issue"].to_numpy()[:6].all()
assert find_label_issues(x, given, network, epochs=20)["p_given"].between(0, 1).all()
assert NoisyLabelClassifier().fit(x, given).predict(x).shape == y.shape and callable(incv)
assert not {"utils", "data", "models", "noise", "groups", "incv.incv"} & set(sys.modules)
"""


@pytest.fixture
def somebody_elses(tmp_path):
    """A folder with modules of the names of ours, each of which raises when it is imported."""
    folder = tmp_path / "theirs"
    (folder / "incv").mkdir(parents=True)
    for name in ("utils.py", "data.py", "models.py", "noise.py", "groups.py", "incv/utils.py"):
        (folder / name).write_text("raise ImportError('the wrong module')\n")
    (folder / "program.py").write_text(PROGRAM)
    return folder


def carried_out(command, folder, **environment):
    done = subprocess.run(list(map(str, command)), cwd=folder, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow", **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_api_in_place_beside_modules_of_our_names(somebody_elses):
    carried_out([sys.executable, "program.py"], somebody_elses, PYTHONPATH=str(PROJECT))


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--editable"]])
def test_the_api_installed_beside_modules_of_our_names(somebody_elses, tmp_path, how):
    """pip installs a copy of the project into an environment that has the libraries of this one."""
    project, environment = tmp_path / "project", tmp_path / "environment"
    shutil.copytree(PROJECT, project, ignore=lambda folder, names: {
        name for name in names if name.startswith(".") or name in ("data", "results", "tests", "docs", "build")})
    venv.create(environment)
    [site] = environment.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text("\n".join(place for place in sys.path if place.endswith("site-packages")))
    python = environment / "bin" / "python"
    carried_out([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-build-isolation",
                 *how, project], tmp_path)
    if how:  # the finder of an editable install comes after a folder incv/ in the current directory
        shutil.rmtree(somebody_elses / "incv")
    carried_out([python, "program.py"], somebody_elses)
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert carried_out([python, "-m", "incv.INCV", "--version"], tmp_path).split()[-1] == version
    small = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 100, "--epochs", 1, "--iterations", 1]
    carried_out([python, "-m", "incv.INCV", *small, "--seed", 0, 1, "--n_jobs", 2, "--quiet"], tmp_path)
    assert len(list((tmp_path / "results/digits/sym/0.5").glob("INCV_seed*_report.html"))) == 2


NETWORK = """
import keras
import utils
def network(input_shape, num_classes, seed):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(utils.units(num_classes))])
"""


@pytest.mark.slow
def test_a_custom_network_imports_its_own_utils(tmp_path):
    """Alone, where the current folder has other ones, and in a sweep's workers."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.py").write_text(NETWORK)
    (tmp_path / "nets" / "utils.py").write_text("def units(num_classes):\n    return num_classes\n")
    (tmp_path / "utils.py").write_text("raise ImportError('the wrong module')\n")
    small = ["--dataset", "digits", "--subset", 100, "--epochs", 1, "--iterations", 1, "--quiet"]
    for script, seeds in (("INCV.py", [2]), ("incv.INCV", [3]), ("INCV.py", [0, 1, "--n_jobs", 2])):
        done = run([*small, "--architecture", "nets/net.py:network", "--seed", *seeds], tmp_path, script, fresh=True)
        assert done.code == 0 and done.err == "", done.err
    assert len(list((tmp_path / "results/digits/sym/0.5").glob("*_report.html"))) == 4


# --- nothing mentions what is gone ------------------------------------------------------------------------------------

USERS = {"FILE.py", "my_networks.py", "net.py"}  # files of somebody who reads these pages


def names_in(path):
    """The names that a module defines at its top, and those of its classes' fields and methods."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


@pytest.mark.parametrize("page", [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "Makefile",
                                  *(PROJECT / "docs").glob("*.md"), *MODULES.values()], ids=lambda page: page.name)
def test_nothing_mentions_a_file_or_name_that_is_gone(page):
    text = page.read_text()
    folders = [PROJECT, page.parent, *(PROJECT / room for room in ("custom_data", "runner", "reporting", "checking"))]
    for mentioned in re.findall(r"(?<![\w./-])((?:\w+/)*\w+\.py)\b", text):
        assert mentioned in USERS or any((folder / mentioned).exists() for folder in folders), mentioned
    last_names = {module.rpartition(".")[2]: path for module, path in MODULES.items() if "benchmarks" not in module}
    for module, name in re.findall(r"`(\w+)\.(\w+)[`(]", text):
        if name not in ("md", "py", "csv", "npz", "json", "npy"):
            assert module not in last_names or name in names_in(last_names[module]), f"{module}.{name}"


def test_the_docs_say_what_can_go_wrong():
    page = (PROJECT / "docs" / "what_can_go_wrong.md").read_text()
    assert "Dask" in (PROJECT / "docs" / "sweeps.md").read_text() and page.count("\n| ") >= 20
    for file, test in re.findall(r"`(tests/\w+\.py)::(\w+)`", page):
        assert f"def {test}(" in (PROJECT / file).read_text(), test
