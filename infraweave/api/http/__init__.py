"""The HTTP framework: routing, decoding, authentication, errors, and limits."""
