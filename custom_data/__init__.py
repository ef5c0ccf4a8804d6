"""How people's own files become arrays, labels and groups."""
