"""A seeded simulation of the real engine: several hosts, shuffled and doubled events, crashes, late zombies."""
