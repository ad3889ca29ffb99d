"""Encodings that several formats are made of, read with limits: zip, JSON, protobuf, LevelDB, HDF5, Zarr, zstd."""
