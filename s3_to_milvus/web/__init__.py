"""The HTTP door: events in, searches and status out, a plain page for people."""
