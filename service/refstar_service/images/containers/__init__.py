"""One module per file type: what its header says, and the same picture without what decoding does not need.

``read(data)`` returns a Header without decompressing pixels. It raises ImageError for a variant that is
not taken, and struct.error or IndexError where the header itself ends early (`probe` makes that
``image-truncated``). Sizes come from here and not from a decoder because some decoders allocate when they
open. Every loop over a file is bounded: the bytes may have been made to keep a reader busy.

``plain(data)``, where a type has it, drops metadata before a decoder sees it: orientation is then applied
here alone, and no damaged, huge or compressed metadata is ever interpreted by a decoder.
"""
