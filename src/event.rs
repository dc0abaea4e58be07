//! (event)
