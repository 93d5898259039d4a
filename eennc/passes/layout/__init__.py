"""Where the channels of feature maps stand."""
