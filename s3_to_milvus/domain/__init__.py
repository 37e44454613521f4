"""Facts and pure functions: frozen dataclasses that every floor above speaks in."""
