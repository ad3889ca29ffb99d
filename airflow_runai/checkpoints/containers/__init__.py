"""Encodings that several formats share, read with limits: zip, JSON, protobuf, HDF5, Zarr."""
