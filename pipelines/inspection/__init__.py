"""`vclip inspect`: the measurements of an extraction, drawn onto the frames of the video and along a timeline."""
