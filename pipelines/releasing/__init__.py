"""What a release is made of and becomes: recorded, certified, rebuilt, compared, exported, taken back."""
