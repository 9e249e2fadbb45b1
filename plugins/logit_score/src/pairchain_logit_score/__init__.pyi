from pairchain_logit_score.logit_score import LogitScore as LogitScore

__version__: str
