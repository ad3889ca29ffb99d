"""One list and one watch of each kind serve all waits of a process."""
