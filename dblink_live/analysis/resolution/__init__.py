"""Resolution: Fourier ring correlation, decorrelation analysis, and maps of both."""
