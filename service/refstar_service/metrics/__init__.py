"""Every metric, a module for each kind of process. The registry is passed in, which keeps tests apart.

No ids, names or paths as labels: every label has a handful of values. Durations are seconds.
"""
