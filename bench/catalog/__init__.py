"""Models and datasets by their cards: found, downloaded, unpacked, checked, shown."""
