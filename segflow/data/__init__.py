"""Raw folders to stored examples: layouts, decoding, masks, resizing, augmentation."""
