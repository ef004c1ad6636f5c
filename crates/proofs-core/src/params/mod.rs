//! Proof parameters: where they are, what they are called, making development ones, checking them.
