"""`vclip push` and `vclip pull`: models and speakers as Hugging Face folders, on the hub or in any folder.

shared      what is shared: the checkpoints of a folder, and where they go
card        the model card
push        from a checkpoint folder to a place
pull        from a place to a checkpoint folder
"""
