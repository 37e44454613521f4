"""One contract suite per port: inherit it, provide the fixtures, and an adapter is proven."""
