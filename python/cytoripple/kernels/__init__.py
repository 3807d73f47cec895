"""Kernels on plain arrays: NumPy in, NumPy out. `cytoripple.tl` is built on them.

Arguments are checked here (dtype, shape, finiteness, with messages that name the argument), then one
native call does the work without the interpreter lock.
"""
