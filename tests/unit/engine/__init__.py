"""The engine over fakes."""
