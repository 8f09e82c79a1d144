"""induction: two layers of attention that repeat a block of tokens which they have seen once."""
