"""From options to runs, and from runs to files on disk."""
