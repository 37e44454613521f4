"""One fake per port: it behaves as the contract says, in memory."""
