"""Why a training waits, or what it has died of."""
