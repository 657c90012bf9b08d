"""Analysis of fitted models: filters and codes, collapse, screening."""
