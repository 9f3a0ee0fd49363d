"""Live super-resolved video beside Micro-Manager."""
