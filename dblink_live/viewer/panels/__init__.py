"""The pictures of the viewer: panels, their contrast, and how they are arranged and linked."""
