from pairchain_trace.trace import Trace as Trace

__version__: str
