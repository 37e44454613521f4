"""A seeded simulation of the real engine: workers on several hosts, shuffled and doubled events, crashes, late zombies."""
