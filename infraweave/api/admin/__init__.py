"""The routes of administration: tokens, tenants, principals, grants, and the audit log."""
