"""The exit statuses of the command; typer exits with 2 for wrong usage."""

FAILED = 1
# what shells report for Ctrl-C
INTERRUPTED = 130
