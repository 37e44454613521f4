"""Object stores: where documents lie."""
