"""The attribute editor: an image-to-image network with its own blending mask, trained on fused pairs.

Source: US 2024/0193822 A1 (METHODS A8).
"""
