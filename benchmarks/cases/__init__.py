"""The cases, one module for each question; `benchmarks.table` lists them."""
