"""Examples to train on, from rows, files and run files."""
