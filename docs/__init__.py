"""The documentation, and what writes the generated parts of it. Not part of the package."""
