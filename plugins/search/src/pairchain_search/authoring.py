"""The public names of this package, for plugins that rerank in another place; everything else in it is private."""

from pairchain_search.options import RUN, TAG, LeftOut, TextOptions, check_output
from pairchain_search.scoring import DOCUMENT_ID, QUERY_ID, refuse_several

__all__ = [
    "DOCUMENT_ID",
    "QUERY_ID",
    "RUN",
    "TAG",
    "LeftOut",
    "TextOptions",
    "check_output",
    "refuse_several",
]
