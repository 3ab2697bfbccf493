"""What trains: the two loops, of autoencoders and of click models, and what both stand on.

``_checkpoints`` keeps a fit that is killed, ``_ranks`` shares one among processes, ``_catalogue`` holds the items that
tokenizers learn from. Estimators call the engine; it knows none of them.
"""
