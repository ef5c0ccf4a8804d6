"""Print how good the selections of INCV runs are, computed from their CSVs.

    python -m incv.benchmarks.selections results/reference

For each setting in the results folder: label precision LP and label recall LR, mean over the seeds.
"""

from incv.benchmarks.quote import results_folders
from incv.reporting import tables

if __name__ == "__main__":
    print(tables.markdown(["dataset", "noise", "settings", "LP", "LR", "runs"], [
        row for folder in results_folders(__doc__) for row in tables.selections(tables.read_runs(folder))]), end="")
