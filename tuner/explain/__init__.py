"""What a search has learned: which parameters matter, what happens around the best, and which
configurations are nearly as good for less."""
