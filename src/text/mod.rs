//! Pure functions over bytes and character sets.
