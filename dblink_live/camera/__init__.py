"""What is known of a camera: presets, sensor maps, photon transfer, and how the facts are resolved."""
