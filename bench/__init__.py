"""Measurements: each module measures one thing and prints it. `make bench` runs all and writes docs/benchmarks.md."""
