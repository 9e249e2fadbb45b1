"""What the settings files of a model may tell the transformers library; the rest is told, refused, or left out.

`names` and `reaching` are tables. `judging` applies them to the settings of a file, `files` to those of a model, and
`holding` to what the library reads while it loads.
"""
