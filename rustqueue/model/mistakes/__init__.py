"""What clients got wrong, in our words: the decoder's errors as ours, with the field, its limit, its choices.

It must not know any verb: the types that a text was to become are told to it.
"""
