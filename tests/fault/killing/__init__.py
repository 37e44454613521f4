"""The real service, killed at named points: see `program`."""
