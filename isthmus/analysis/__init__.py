"""Fitted models analysed: what they know, whether they collapsed, and how unusual an image is for them."""
