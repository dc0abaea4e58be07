//! (room: outputs)
