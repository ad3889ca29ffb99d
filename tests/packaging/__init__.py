"""What strangers get: the built distributions, their dependencies, the files of the repository's hosts."""
