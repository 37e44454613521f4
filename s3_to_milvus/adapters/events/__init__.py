"""Events: who tells that an object may have changed."""
