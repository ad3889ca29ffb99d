"""
Bytes and names, wherever they lie: listings, ranges, small files, checksums.

Knows nothing of checkpoints' formats.
"""
