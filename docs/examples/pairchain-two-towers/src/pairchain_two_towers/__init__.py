"""Two modules for pairchain: TwoTowers encodes the texts of a pair apart, CosineScore compares them."""

from pairchain_two_towers.cosine_score import CosineScore as CosineScore
from pairchain_two_towers.two_towers import TwoTowers as TwoTowers

__version__ = "0.1.0"

__all__ = ["CosineScore", "TwoTowers"]
