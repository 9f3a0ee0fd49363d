"""NDTiff datasets, followed while Micro-Manager or pycromanager writes them."""
