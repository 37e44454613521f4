"""The command line: thin over the engine, or over the service that owns the data."""
