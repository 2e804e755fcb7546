"""One file per cause. Its docstring is the page that `whynan explain` prints; `assess` weighs the evidence for it."""
