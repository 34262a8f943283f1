"""`vclip inspect`: what extraction measured in one video, drawn onto its frames and along a timeline."""
