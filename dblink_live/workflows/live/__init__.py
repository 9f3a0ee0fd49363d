"""What a live run needs besides its pipeline: model, recording, viewer."""
