"""Camera facts: presets, sensor maps, photon transfer, and how they are resolved."""
