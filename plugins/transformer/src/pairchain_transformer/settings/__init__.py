"""Decides which settings of a model's files reach the transformers library; others are reported, refused or left out.

`names` and `reaching` are tables. `filtering` applies them to the settings of one file, `files` to all files of a
model, and `during_load` to what the library reads during a load.
"""
