"""The benchmark's table of selections, by hand."""
from conftest import run

from incv.runner import files
from incv.runner.settings import Settings


def test_table_of_selections_by_hand(tmp_path):
    folder = tmp_path / "digits" / "sym" / "0.5"
    folder.mkdir(parents=True)
    rows = ["0,0,True,False", "1,1,False,True", "2,0,True,False", "1,2,False,False"]  # LP 1/2, LR 1/2
    (folder / "INCV_seed0.csv").write_text("y,y_noisy,select,candidate,eval_ratio\n" + "".join(f"{r},0.5\n" for r in rows))
    rows[1] = "1,1,True,False"  # LP 2/3, LR 1
    (folder / "INCV_seed1.csv").write_text("y,y_noisy,select,candidate,eval_ratio\n" + "".join(f"{r},0.5\n" for r in rows))
    (folder / "INCV_seed0_history.csv").write_text("iteration,half,epoch\n1,1,1\n")
    for seed in (0, 1):
        settings = {"dataset": "digits", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": seed, "backend": "tensorflow"}
        files.write_json(folder / f"INCV_seed{seed}", {"settings": Settings.from_json(settings), "differs_from_published": {}})
    result = run([tmp_path], tmp_path, script="incv.benchmarks.selections")
    assert [cell.strip() for cell in result.out.splitlines()[-1].strip("|").split("|")] == [
        "digits", "sym 0.5", "default", "0.583", "0.750", "2"]
