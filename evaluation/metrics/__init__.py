"""Metrics: pure functions over arrays, each with its interval, judge and protocol."""
