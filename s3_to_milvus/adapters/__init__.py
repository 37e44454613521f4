"""The outside world: one class per outside system, each behind one port."""
