"""Decides which settings of a model's files reach the transformers library; others are reported, refused or left out.

`names` and `reaching` are tables. `judging` applies them to the settings of one file, `files` to all files of a model,
and `holding` to what the library reads during a load.
"""
