"""The benchmark: cells over time, training steps and inference, beside other libraries in the same run.

``measure`` times and compares, ``peers`` holds each library's way of doing the same, the rest says what is measured.
"""
