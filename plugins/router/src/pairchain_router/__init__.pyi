from pairchain_router.router import Router as Router

__version__: str
