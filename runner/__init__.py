"""From options to runs, and from runs to files on disk.

options.py: the command line; planning.py: the runs it describes; settings.py: what determines a run; start.py: its data,
labels, checkpoint, backend; files.py: names, locks, checksums; checkpoint.py; sweep.py and workers.py: several runs;
networks.py, custom_network.py, noisy_labels.py: the network and the labels of a run; pretrained.py, feature_cache.py,
extractor.py: --features by a network; predict.py: --predict; console.py: progress and messages; revision.py: of the code.
"""
