"""The work: intake, claim, reconcile, ingest, scan, search, check. Speaks to the outside through ports only."""
