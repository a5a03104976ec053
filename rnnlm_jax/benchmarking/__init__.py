"""The benchmark: layers, training steps and inference, timed beside other libraries in the same process.

``run`` is the whole benchmark. ``layers``, ``training_steps`` and ``inference`` define what is timed; ``measure``
compares results and takes times; ``peers`` does the same work with each other library; ``matmul_floor`` is the lower
bound, the matrix products alone; ``scaling`` measures how the cost grows with each size.
"""
