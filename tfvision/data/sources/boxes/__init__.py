"""Files of boxes: a reader a format, and what all of them share.

A reader lists images with their boxes as they are written (`written.py`). Then `told.py` finds
what the four numbers of a box are, `frames.py` in which pixels, `faults.py` mends or refuses,
and `box_files.py` is the source that comes of it.
"""
