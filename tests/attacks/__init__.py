"""Files made to do harm: each is refused in a sentence, and nothing in it is run or makes room for itself."""
