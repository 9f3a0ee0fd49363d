"""How far a picture can be believed: support, consistency, revision."""
