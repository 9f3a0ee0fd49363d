"""Rectangle and line over the pictures, and what is measured along and inside them."""
