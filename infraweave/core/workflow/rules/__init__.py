"""What is wrong with a definition document: every fault at once, each with its place."""
