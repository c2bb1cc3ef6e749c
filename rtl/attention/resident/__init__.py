"""Sets of K and V that stay in the engine and grow."""
