"""The emulator against a description of the API that is derived from the vendor's typed client."""
