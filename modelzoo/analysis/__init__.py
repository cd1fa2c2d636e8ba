"""What a network sees and how it fails: feature maps, saliency, attacks, corruptions."""
