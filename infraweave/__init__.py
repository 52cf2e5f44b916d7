"""InfraWeave: durable workflows on one machine."""
