"""How pictures are drawn, for viewer, report and PNG alike: contrast, colours, scale bars."""
