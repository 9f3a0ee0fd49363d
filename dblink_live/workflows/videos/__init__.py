"""What the workflows make of stored windows: videos and files of them."""
