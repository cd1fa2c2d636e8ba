"""How networks stand changed pictures: adversarial ones, shifts, rotations, noise, occlusion."""
