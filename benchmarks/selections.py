"""How good the selections of finished INCV runs are, recomputed from their CSVs.

    python benchmarks/selections.py results/reference

Prints label precision LP and label recall LR, the mean over the seeds, for every setting found in the results folder.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tables  # noqa: E402

if __name__ == "__main__":
    print(tables.markdown(["dataset", "noise", "settings", "LP", "LR", "runs"], [
        row for folder in sys.argv[1:] for row in tables.selections(tables.read_runs(folder))]), end="")
