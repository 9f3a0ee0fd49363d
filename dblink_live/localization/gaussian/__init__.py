"""The Gaussian localizer: detection, maximum-likelihood fit, precision, filters."""
