"""Texts of other formats: TOML, YAML, HTML, and suggestions for misspelled words."""
