from pairchain_normalize.normalize import Normalize as Normalize

__version__: str
