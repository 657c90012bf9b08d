"""Answers to the questions of the page: what models make of images, their codes, and uploads."""
