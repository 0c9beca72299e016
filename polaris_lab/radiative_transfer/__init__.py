"""Line emission of a cloud: position-position-velocity cubes by radiative transfer (not built yet)."""
