# Types the standard modules for editors and type checkers, which read no entry points; at runtime, every installed
# plugin provides its own. A module that is not installed is Any here, and so are the modules of other plugins.
from typing import Any

from pairchain.chain.module import InputModule as InputModule
from pairchain.chain.module import Module as Module
from pairchain_dense import Dense as Dense
from pairchain_layer_norm import LayerNorm as LayerNorm
from pairchain_logit_score import LogitScore as LogitScore
from pairchain_normalize import Normalize as Normalize
from pairchain_pooling import Pooling as Pooling
from pairchain_router import Router as Router
from pairchain_transformer import Transformer as Transformer

def __getattr__(name: str) -> Any: ...
