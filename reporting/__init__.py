"""Figures and tables of finished runs: figures.py, tables.py; published.json has the paper's points."""
