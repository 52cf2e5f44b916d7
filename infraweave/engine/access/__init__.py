"""Who asked for what: the audit buffer, revocation, and signing in."""
