"""Builds the page that lists plugins, with the result of each one's contract tests against this core."""
