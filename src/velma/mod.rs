//! (room: velma)
