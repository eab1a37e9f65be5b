"""How the two shipped mini models are built, trained and exported. Used by examples 20 to 22."""
