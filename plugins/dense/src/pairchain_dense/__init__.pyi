from pairchain_dense.dense import Dense as Dense

__version__: str
