"""Imported last by the process that forked.py forks from: what it holds is no garbage, which no fork has to find out again."""
import gc

gc.collect()
gc.freeze()
