from pairchain_pooling.pooling import Pooling as Pooling

__version__: str
