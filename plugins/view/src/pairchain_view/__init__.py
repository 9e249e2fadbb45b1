"""`pairchain view`: a page on this machine that shows a model's chain, scores with it, and tells what moved a score."""
