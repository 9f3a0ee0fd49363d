"""What a network is compared with: plain sums, windowed STORM, blind inpainting."""
