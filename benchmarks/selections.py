"""Print how good the selections of INCV runs are, computed from their CSVs.

    python benchmarks/selections.py results/reference

For each setting in the results folder: label precision LP and label recall LR, mean over the seeds.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tables  # noqa: E402
from quote import results_folders  # noqa: E402

if __name__ == "__main__":
    print(tables.markdown(["dataset", "noise", "settings", "LP", "LR", "runs"], [
        row for folder in results_folders(__doc__) for row in tables.selections(tables.read_runs(folder))]), end="")
